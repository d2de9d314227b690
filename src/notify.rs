//! Tells the service manager how we are (`sd_notify`); does nothing where there is none.
//!
//! A message that cannot be delivered is logged and not tried again: the manager then acts on its
//! silence, as it should.

use std::time::Duration;

use sd_notify::NotifyState;

/// Every listener answers.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The start goes on and may take so much longer, however long the unit allows it.
pub fn extend_start(by: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}

/// The drain has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// We still make progress; due at least every [`watchdog_interval`].
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Half the manager's patience: how often [`watchdog`] is due. None where nobody watches.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
