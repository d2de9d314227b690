//! Verification, recorded verdicts, declarations.

use super::{
    super::{
        Right,
        checks::{After, Declarations, NewCheck, Replay},
    },
    Operation,
    looks::CaseQuery,
    problems::{LOOKING, NOT_FOUND},
};
use crate::verify::{Coverage, Declaration, Declared, Perspective, Told};

pub(in crate::api) fn check() -> Operation {
    Operation::new("check", "Verify a name, a URL or an address, and record the verdict")
        .takes::<NewCheck>()
        .gives::<Told>(200, "The verdict, and what it is founded on")
        .problems([
            (422, "subject_not_understood"),
            (503, "no_room_for_record"),
            (503, "verifications_full"),
        ])
}

pub(in crate::api) fn perspective() -> Operation {
    Operation::new("perspective", "What this place sees of a name, for another that verifies it")
        .more("Asked from the root down; nothing is kept, and no verdict is made.")
        .place("name", "The name")
        .gives::<Perspective>(200, "What is seen")
        .problems([(422, "subject_not_understood"), (503, "verifications_full")])
}

pub(in crate::api) fn replay() -> Operation {
    Operation::new("replayCheck", "A recorded verdict, judged again from the evidence that is kept")
        .more("Recorded as a look.")
        .asks(Right::Trace)
        .place("record", "node-lane-seq of a verification")
        .query::<CaseQuery>()
        .gives::<Replay>(200, "What was recorded, what it is now, whether they are the same")
        .problems(LOOKING)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn coverage() -> Operation {
    Operation::new("coverage", "How much is verified, and what share is not")
        .gives::<Coverage>(200, "Subjects by their last verdict")
        .problems([(503, "control_away")])
}

pub(in crate::api) fn list_declarations() -> Operation {
    Operation::new("listDeclarations", "What owners say should be so of their domains, by domain")
        .query::<After>()
        .gives::<Declarations>(200, "One page")
        .problems([(503, "control_away")])
}

pub(in crate::api) fn declare() -> Operation {
    Operation::new("declare", "Say what should be so of a domain; verdicts hold it against what is")
        .more("What was declared before stays; the last counts.")
        .place("domain", "The registrable domain")
        .takes::<Declaration>()
        .gives::<Declared>(200, "What counts now")
        .problems([
            (422, "declaration_not_understood"),
            (422, "subject_not_understood"),
            (503, "control_away"),
        ])
}

pub(in crate::api) fn withdraw() -> Operation {
    Operation::new("withdrawDeclaration", "Declare nothing of a domain any more")
        .place("domain", "The registrable domain")
        .gives_nothing("Withdrawn")
        .problems([(422, "subject_not_understood"), (503, "control_away")])
}
