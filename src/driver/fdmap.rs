//! Which descriptor goes where, as a sequence of dup3 that destroys nothing it still needs.
//!
//! Sources may sit on targets, in chains and in cycles, and one source may have several targets. The pipe that reports
//! to the supervisor is one more pair: it gets the number after the last target, so that everything behind it can be
//! closed in one call.

use std::os::fd::RawFd;

/// One step of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// dup3(from, to), closed at exec or not.
    Copy {
        /// What is duplicated.
        from: RawFd,
        /// The number it gets; whatever had it is closed.
        to: RawFd,
        /// Whether it is closed when the program is executed.
        cloexec: bool,
    },
    /// It is where it belongs: only clear its close-on-exec flag.
    Keep(RawFd),
}

/// A sequence that brings every source to its target, and what is to be closed around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdMap {
    /// The steps, in order.
    pub moves: Vec<Move>,
    /// The number of the reporting pipe after the steps.
    pub pipe: RawFd,
    /// No number from this one on is needed before the steps: what a child that unshares its table need not copy.
    pub unneeded_from: u32,
    /// Ranges to close after the steps, first and last number; the last one is open-ended (`u32::MAX`).
    pub close: Vec<(u32, u32)>,
}

/// Why there is no sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FdMapError {
    /// Two sources for one number.
    #[error("descriptor {0} is given twice")]
    Twice(RawFd),
    /// A number that no descriptor can have.
    #[error("{0} is not a descriptor's number")]
    Negative(RawFd),
}

#[derive(Clone, Copy)]
struct Pair {
    from: RawFd,
    to: RawFd,
    cloexec: bool,
}

impl FdMap {
    /// Finds the sequence for these (source, target) pairs and the reporting pipe. Targets must differ from each other.
    pub fn new(pairs: &[(RawFd, RawFd)], pipe: RawFd) -> Result<FdMap, FdMapError> {
        let mut targets: Vec<RawFd> = pairs.iter().map(|p| p.1).collect();
        targets.sort_unstable();
        if let Some(twice) = targets.windows(2).find(|w| w[0] == w[1]) {
            return Err(FdMapError::Twice(twice[0]));
        }
        let highest_source = pairs.iter().map(|p| p.0).fold(pipe, RawFd::max);
        if let Some(bad) = pairs.iter().flat_map(|p| [p.0, p.1]).chain([pipe]).find(|n| *n < 0 || *n == RawFd::MAX) {
            return Err(FdMapError::Negative(bad));
        }
        let pipe_to = targets.last().map_or(0, |t| t + 1);
        targets.push(pipe_to);
        let mut pending: Vec<Pair> = pairs.iter().map(|&(from, to)| Pair { from, to, cloexec: false }).collect();
        pending.push(Pair { from: pipe, to: pipe_to, cloexec: true });
        Ok(FdMap {
            moves: order(pending, highest_source.max(pipe_to) + 1),
            pipe: pipe_to,
            unneeded_from: highest_source as u32 + 1,
            close: gaps(&targets),
        })
    }
}

/// A parallel assignment made sequential: what nobody reads any more is written first; a cycle is broken by moving one
/// of its sources to the free number `scratch` (used again for the next cycle: by then nobody reads it).
fn order(mut pending: Vec<Pair>, scratch: RawFd) -> Vec<Move> {
    let mut moves = Vec::with_capacity(pending.len() + 1);
    for kept in pending.extract_if(.., |p| p.from == p.to) {
        // The pipe is close-on-exec wherever it is.
        if !kept.cloexec {
            moves.push(Move::Keep(kept.to));
        }
    }
    while !pending.is_empty() {
        let free = pending.iter().position(|p| pending.iter().all(|q| q.from != p.to));
        if let Some(at) = free {
            let Pair { from, to, cloexec } = pending.swap_remove(at);
            moves.push(Move::Copy { from, to, cloexec });
        } else {
            let from = pending[0].from;
            moves.push(Move::Copy { from, to: scratch, cloexec: true });
            pending.iter_mut().filter(|p| p.from == from).for_each(|p| p.from = scratch);
        }
    }
    moves
}

/// The ranges between and after these numbers, which are sorted.
fn gaps(kept: &[RawFd]) -> Vec<(u32, u32)> {
    let mut gaps = Vec::new();
    let mut next = 0;
    for number in kept.iter().map(|k| *k as u32) {
        if number > next {
            gaps.push((next, number - 1));
        }
        next = number + 1;
    }
    gaps.push((next, u32::MAX));
    gaps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::{FdMap, FdMapError, Move};

    const PIPE_FILE: i32 = -7;

    /// Runs the sequence on a table of number → file; every source number n is open on file n.
    fn run(pairs: &[(i32, i32)], pipe: i32) -> (FdMap, BTreeMap<i32, (i32, bool)>) {
        let map = FdMap::new(pairs, pipe).expect("valid pairs");
        let mut table: BTreeMap<i32, (i32, bool)> = pairs.iter().map(|p| (p.0, (p.0, true))).collect();
        table.insert(pipe, (PIPE_FILE, true));
        for step in &map.moves {
            match *step {
                Move::Copy { from, to, cloexec } => {
                    assert_ne!(from, to, "dup3 refuses this");
                    let (file, _) = table[&from];
                    table.insert(to, (file, cloexec));
                }
                Move::Keep(fd) => table.get_mut(&fd).expect("is open").1 = false,
            }
        }
        table.retain(|fd, _| !map.close.iter().any(|&(a, b)| (a..=b).contains(&(*fd as u32))));
        (map, table)
    }

    fn check(pairs: &[(i32, i32)], pipe: i32) {
        let (map, table) = run(pairs, pipe);
        let mut expected: BTreeMap<i32, (i32, bool)> = pairs.iter().map(|&(s, t)| (t, (s, false))).collect();
        expected.insert(map.pipe, (PIPE_FILE, true));
        assert_eq!(table, expected, "{pairs:?} pipe {pipe}: {:?}", map.moves);
    }

    #[test]
    fn a_swap_keeps_both_files() {
        check(&[(10, 11), (11, 10)], 4);
        check(&[(11, 10), (10, 11)], 4);
    }

    #[test]
    fn cycles_chains_and_self_maps_mix() {
        check(&[(0, 1), (1, 2), (2, 0)], 3);
        check(&[(0, 0), (1, 1), (2, 2)], 3);
        check(&[(1, 0), (0, 1), (3, 2), (2, 3)], 4);
        check(&[(5, 0), (5, 1), (5, 2), (0, 5)], 1);
    }

    #[test]
    fn the_pipe_may_sit_on_a_target_or_be_in_the_way() {
        check(&[(7, 0), (8, 1), (9, 2)], 0);
        check(&[(7, 0), (3, 1), (9, 2)], 2);
        check(&[], 0);
    }

    #[test]
    fn two_sources_for_one_number_are_refused() {
        assert_eq!(FdMap::new(&[(5, 1), (6, 1)], 3), Err(FdMapError::Twice(1)));
        assert_eq!(FdMap::new(&[(5, -1)], 3), Err(FdMapError::Negative(-1)));
    }

    proptest! {
        #[test]
        fn every_map_ends_with_each_file_where_it_belongs(
            sources in prop::collection::vec(0..12i32, 0..10),
            targets in prop::collection::hash_set(0..12i32, 0..10),
            pipe in any::<prop::sample::Index>(),
        ) {
            let pairs: Vec<(i32, i32)> = sources.into_iter().zip(targets).collect();
            let free: Vec<i32> = (0..24).filter(|n| pairs.iter().all(|p| p.0 != *n)).collect();
            let pipe = *pipe.get(&free);
            let (map, table) = run(&pairs, pipe);
            for &(source, target) in &pairs {
                prop_assert_eq!(table.get(&target), Some(&(source, false)));
            }
            prop_assert_eq!(table.get(&map.pipe), Some(&(PIPE_FILE, true)));
            prop_assert_eq!(table.len(), pairs.len() + 1);
            prop_assert!(pairs.iter().all(|p| (p.0 as u32) < map.unneeded_from) && (pipe as u32) < map.unneeded_from);
            prop_assert!(map.moves.len() <= pairs.len() + 1 + pairs.len() / 2 + 1);
        }
    }
}
