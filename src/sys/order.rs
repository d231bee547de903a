//! Putting things in order, with little code.
//!
//! The library's sort is made once more for every type and every key, 3 KB each, to be fast for millions. Ours are lists
//! of tens: one merge of their numbers decides the order, and only the moving is made for each type.
//!
//! Invariants: stable; at most n log n comparisons.

use std::cmp::Ordering;

/// Sorts by a key; equal ones keep their order.
pub fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts what has an order of its own.
pub fn sort<T: Ord>(items: &mut [T]) {
    by(items, Ord::cmp);
}

/// Sorts by a comparison; equal ones keep their order.
pub fn by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut from = order(items.len(), &|a, b| compare(&items[a], &items[b]));
    // Each place gets what belongs there by exchanges along the circles of the permutation.
    for start in 0..from.len() {
        let mut at = start;
        while from[at] != start {
            let next = from[at];
            items.swap(at, next);
            from[at] = at;
            at = next;
        }
        from[at] = at;
    }
}

/// The numbers below `count` in their order: a merge from the bottom up.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut now: Vec<usize> = (0..count).collect();
    let mut next = now.clone();
    let mut width = 1;
    while width < count {
        for begin in (0..count).step_by(2 * width) {
            let (middle, end) = ((begin + width).min(count), (begin + 2 * width).min(count));
            let (mut left, mut right) = (begin, middle);
            for place in &mut next[begin..end] {
                let from_left = left < middle && (right == end || compare(now[left], now[right]) != Ordering::Greater);
                let at = if from_left { &mut left } else { &mut right };
                *place = now[*at];
                *at += 1;
            }
        }
        std::mem::swap(&mut now, &mut next);
        width *= 2;
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_library_s_for_lists_of_every_length() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        for length in 0..130 {
            let mut ours: Vec<(u64, usize)> = Vec::new();
            for place in 0..length {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                ours.push((seed % 17, place));
            }
            let mut theirs = ours.clone();
            theirs.sort_by_key(|(key, _)| *key);
            by_key(&mut ours, |(key, _)| *key);
            assert_eq!(ours, theirs, "{length}");
            sort(&mut ours);
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "{length}");
        }
    }
}
