//! How handles are made: described, named, labelled.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;

/// Makes handles under the prefix `tracegate_`.
pub(super) struct Make<'a>(pub(super) &'a PrometheusRecorder);

pub(super) const METADATA: Metadata<'static> = Metadata::new("tracegate", Level::INFO, None);

impl Make<'_> {
    pub(super) fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.labelled(name, help, None)
    }

    pub(super) fn labelled(
        &self,
        name: &'static str,
        help: &'static str,
        label: Option<(&'static str, &'static str)>,
    ) -> Counter {
        self.0.describe_counter(KeyName::from(name), None, help.into());
        let labels: Vec<Label> = label.map(|(k, v)| Label::new(k, v)).into_iter().collect();
        self.0.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    pub(super) fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.0.describe_gauge(KeyName::from(name), None, help.into());
        self.0.register_gauge(&Key::from_name(name), &METADATA)
    }

    pub(super) fn of_feed(&self, name: &'static str, help: &'static str, feed: &str) -> Counter {
        self.0.describe_counter(KeyName::from(name), None, help.into());
        let labels = vec![Label::new("feed", feed.to_owned())];
        self.0.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    pub(super) fn of_feed_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        feed: &str,
    ) -> Gauge {
        self.0.describe_gauge(KeyName::from(name), None, help.into());
        let labels = vec![Label::new("feed", feed.to_owned())];
        self.0.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    pub(super) fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        self.0.describe_histogram(KeyName::from(name), None, help.into());
        self.0.register_histogram(&Key::from_name(name), &METADATA)
    }
}
