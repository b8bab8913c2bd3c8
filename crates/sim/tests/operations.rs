//! Short lives again and again: each append of the journal goes wrong once, in every way, until the life completes without
//! meeting the fault.

use balefire_sim::{Strike, run_struck};

#[test]
fn whatever_append_goes_wrong_in_whatever_way_every_promise_is_kept() {
    let (mut lives, mut followed) = (0, 0);
    for (seed, strike) in (0..3).flat_map(|seed| Strike::ALL.map(|strike| (seed, strike))) {
        for append in 0.. {
            let life = run_struck(seed, append, strike)
                .unwrap_or_else(|broken| panic!("append {append} of seed {seed} meets {strike:?}: {broken}"));
            lives += 1;
            followed += life.kinds.get("followed_up").copied().unwrap_or(0);
            if life.appends <= append {
                break;
            }
            // An append without acts cannot be followed by a death between two of them.
            let is_met = life.crashes + life.full_disks > 0 || matches!(strike, Strike::CrashBetween(_));
            assert!(is_met, "append {append} of seed {seed} does not meet {strike:?}");
        }
    }
    assert!(lives > 500, "{lives} lives are too few to show anything");
    assert!(followed > lives, "and something has to follow in them");
}
