//! Draws some of many.

use crate::ports::clock::Random;

/// Draws `count` of `items`, each as likely as any other; all of them where there are no more.
pub(super) fn draw<T>(mut items: Vec<T>, count: u32, random: &dyn Random) -> Vec<T> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let total = items.len();
    for place in 0..count.min(total) {
        let left = u64::try_from(total.saturating_sub(place)).unwrap_or(u64::MAX);
        // Of 2⁶⁴ numbers the remainder is as good as even for any list that fits into memory.
        let drawn = random.next_u64().checked_rem(left).unwrap_or(0);
        let drawn = usize::try_from(drawn).unwrap_or(0);
        items.swap(place, place.saturating_add(drawn));
    }
    items.truncate(count);
    items
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::draw;
    use crate::ports::clock::Random;

    /// Counts up by a large odd number.
    struct Steps(Mutex<Cell<u64>>);

    impl Random for Steps {
        fn next_u64(&self) -> u64 {
            let cell = self.0.lock().unwrap();
            cell.set(cell.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
            cell.get()
        }
    }

    #[test]
    fn a_sample_has_so_many_different_ones_and_everyone_has_a_chance() {
        let random = Steps(Mutex::new(Cell::new(1)));
        let mut seen = [0_u32; 10];
        for _ in 0..200 {
            let mut drawn = draw((0..10_usize).collect(), 3, &random);
            drawn.iter().for_each(|index| seen[*index] += 1);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 3);
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
        assert_eq!(draw(vec![1, 2], 5, &random).len(), 2);
        assert!(draw(Vec::<u8>::new(), 5, &random).is_empty());
    }
}
