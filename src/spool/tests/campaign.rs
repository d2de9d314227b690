//! Faults at every step of a fixed scenario, and random scenarios against the model.

use proptest::prelude::*;

use super::{
    Bench,
    faults::Fault,
    world::{Act, World, scenario},
};
use crate::config::FullPolicy::{Refuse, Shed};

fn run(bench: Bench, plan: Option<(u64, Fault)>, power_cut: Option<u64>) -> bool {
    let mut world = World::new(bench, plan);
    let faults = std::sync::Arc::clone(&world.faults);
    for act in scenario() {
        world.act(&act);
    }
    world.check(power_cut);
    faults.struck()
}

/// Runs the scenario with step 0, 1, 2 … going wrong, until it ends before that step.
fn every_step(bench: fn() -> Bench, fault: Fault, power_cut: Option<u64>) {
    assert!(!run(bench(), None, power_cut));
    let mut steps = 0;
    while run(bench(), Some((steps, fault)), power_cut.map(|p| p + steps)) {
        steps += 1;
    }
    assert!(steps > 100, "the scenario has {steps} steps");
}

#[test]
fn a_process_that_dies_at_any_step_loses_nothing_written() {
    every_step(Bench::new, Fault::Crash, None);
}

#[test]
fn a_process_that_dies_at_any_step_loses_nothing_synced() {
    every_step(Bench::synced, Fault::Crash, None);
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_synced() {
    every_step(Bench::synced, Fault::Crash, Some(1));
}

#[test]
fn a_power_cut_at_any_step_loses_what_gap_rows_bound_written() {
    every_step(Bench::new, Fault::Crash, Some(1_000));
}

#[test]
fn an_error_at_any_step_is_survived_written() {
    every_step(Bench::new, Fault::Error, None);
}

#[test]
fn an_error_at_any_step_is_survived_synced() {
    every_step(Bench::synced, Fault::Error, None);
}

fn act() -> impl Strategy<Value = Act> {
    let full = prop_oneof![Just(Shed), Just(Refuse)];
    prop_oneof![
        8 => (1..40u8, 1..400usize, full.clone()).prop_map(|(n, len, f)| Act::Push(n, len, f)),
        8 => Just(Act::Commit),
        4 => (1..2_500u64).prop_map(Act::Pass),
        4 => Just(Act::Maintain),
        3 => full.prop_map(Act::Append),
        2 => any::<bool>().prop_map(Act::Prepare),
        3 => Just(Act::Ship),
        3 => Just(Act::Acknowledge),
        1 => Just(Act::Split),
        1 => Just(Act::SetAside),
        1 => Just(Act::Release),
        1 => Just(Act::Purge),
        1 => Just(Act::NewLane),
        1 => any::<bool>().prop_map(Act::Room),
        1 => Just(Act::Reopen),
    ]
}

fn random(bench: Bench, acts: &[Act], plan: Option<(u64, Fault)>, power_cut: Option<u64>) {
    let mut world = World::new(bench, plan);
    for (n, act) in acts.iter().enumerate() {
        // Every now and then the power fails instead.
        match power_cut {
            Some(luck) if n % 17 == 16 => world.act(&Act::PowerCut(luck + n as u64)),
            _ => world.act(act),
        }
    }
    world.act(&Act::Room(true));
    world.check(power_cut);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_remembers_what_the_model_does(acts in prop::collection::vec(act(), 1..60)) {
        random(Bench::new(), &acts, None, None);
    }

    #[test]
    fn synced_survives_power_cuts(acts in prop::collection::vec(act(), 1..60), luck: u32) {
        random(Bench::synced(), &acts, None, Some(luck.into()));
    }

    #[test]
    fn written_bounds_what_power_cuts_take(
        acts in prop::collection::vec(act(), 1..60),
        luck: u32,
    ) {
        random(Bench::new(), &acts, None, Some(luck.into()));
    }

    #[test]
    fn errors_and_the_end_of_the_process_come_at_any_time(
        acts in prop::collection::vec(act(), 1..60),
        step in 0..600u64,
        synced: bool,
        crash: bool,
    ) {
        let bench = if synced { Bench::synced() } else { Bench::new() };
        let fault = if crash { Fault::Crash } else { Fault::Error };
        random(bench, &acts, Some((step, fault)), None);
    }
}
