//! Where the steps of a graph stand in a picture: rows from top to bottom, arrows around the steps between. Numbers in,
//! numbers out; the same graph gives the same picture. Must never know what a step is.

use std::collections::{BTreeMap, HashMap};

/// Sizes in pixels, and how many steps stand side by side at most.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub width: f64,
    pub height: f64,
    /// Between two steps of a row.
    pub apart: f64,
    /// Between two rows.
    pub below: f64,
    pub most: usize,
}

/// What stands in a row: a step, or an arrow that passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    Step(usize),
    /// Arrows from one step, or to one step, pass a row together.
    From(usize),
    To(usize),
}

/// An item and its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    pub item: Item,
    pub x: f64,
}

/// The picture's geometry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// From left to right, from top to bottom.
    pub rows: Vec<Vec<Placed>>,
    /// Row, place in it, place in the next row.
    pub links: Vec<(usize, usize, usize)>,
    pub width: f64,
}

/// An arrow that passes a row takes little room.
const PASSING: f64 = 10.0;
const SWEEPS: usize = 12;

/// `needs`: of each step those before it, without what follows from the others.
pub fn layout(order: &[usize], needs: &[Vec<usize>], sizes: &Sizes) -> Layout {
    let rows_of = rows(order, needs, sizes.most.max(1));
    let mut rows = items(&rows_of, needs);
    let links = links(&rows, &rows_of, needs);
    let sorted = sort(&mut rows, links);
    let x = place(&rows, &sorted, sizes);
    let width = x.iter().flatten().fold(0.0f64, |most, x| most.max(*x)) + sizes.width / 2.0;
    let rows = rows
        .iter()
        .zip(&x)
        .map(|(items, x)| items.iter().zip(x).map(|(item, x)| Placed { item: *item, x: *x }).collect());
    Layout { rows: rows.collect(), links: sorted, width }
}

/// What a step needs already because of its other needs is left out.
pub fn reduced(order: &[usize], needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let words = needs.len().div_ceil(64);
    let mut above: Vec<Vec<u64>> = vec![Vec::new(); needs.len()];
    let mut kept = vec![Vec::new(); needs.len()];
    for step in order.iter().copied() {
        let mut all = vec![0u64; words];
        for need in &needs[step] {
            all.iter_mut().zip(&above[*need]).for_each(|(bits, more)| *bits |= more);
        }
        kept[step] =
            needs[step].iter().copied().filter(|need| all[need / 64] & (1 << (need % 64)) == 0).collect();
        needs[step].iter().for_each(|need| all[need / 64] |= 1 << (need % 64));
        above[step] = all;
    }
    kept
}

/// The row of each step: below all it needs, in the first row that has room.
fn rows(order: &[usize], needs: &[Vec<usize>], most: usize) -> Vec<usize> {
    let mut row_of = vec![0; needs.len()];
    let mut filled: Vec<usize> = Vec::new();
    for step in order.iter().copied() {
        let mut row = needs[step].iter().map(|need| row_of[*need] + 1).max().unwrap_or(0);
        while filled.get(row).is_some_and(|count| *count >= most) {
            row += 1;
        }
        if filled.len() <= row {
            filled.resize(row + 1, 0);
        }
        filled[row] += 1;
        row_of[step] = row;
    }
    row_of
}

/// With which others an arrow passes the rows between its ends.
fn way(from: usize, to: usize, needs: &[Vec<usize>], fan_out: &[usize]) -> Item {
    if needs[to].len() > 1 && fan_out[from] == 1 { Item::To(to) } else { Item::From(from) }
}

fn fan_out(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut count = vec![0; needs.len()];
    needs.iter().flatten().for_each(|need| count[*need] += 1);
    count
}

fn items(row_of: &[usize], needs: &[Vec<usize>]) -> Vec<Vec<Item>> {
    let count = row_of.iter().max().map_or(0, |last| last + 1);
    let mut rows: Vec<Vec<Item>> = vec![Vec::new(); count];
    for (step, row) in row_of.iter().enumerate() {
        rows[*row].push(Item::Step(step));
    }
    let fan_out = fan_out(needs);
    for (to, needs_of) in needs.iter().enumerate() {
        for from in needs_of {
            let way = way(*from, to, needs, &fan_out);
            rows[row_of[*from] + 1..row_of[to]].iter_mut().for_each(|row| row.push(way));
        }
    }
    for row in &mut rows {
        row.sort_unstable();
        row.dedup();
    }
    rows
}

/// Every piece of an arrow between two rows, by items.
fn links(rows: &[Vec<Item>], row_of: &[usize], needs: &[Vec<usize>]) -> Vec<(usize, Item, Item)> {
    let fan_out = fan_out(needs);
    let mut links = Vec::with_capacity(rows.len());
    for (to, needs_of) in needs.iter().enumerate() {
        for from in needs_of {
            let (first, last) = (row_of[*from], row_of[to]);
            let way = way(*from, to, needs, &fan_out);
            for row in first..last {
                let above = if row == first { Item::Step(*from) } else { way };
                let below = if row + 1 == last { Item::Step(to) } else { way };
                links.push((row, above, below));
            }
        }
    }
    links.sort_unstable();
    links.dedup();
    links
}

/// Orders each row by the middle of what it is linked to, so that few arrows cross.
fn sort(rows: &mut [Vec<Item>], links: Vec<(usize, Item, Item)>) -> Vec<(usize, usize, usize)> {
    let mut up: HashMap<(usize, Item), Vec<Item>> = HashMap::new();
    let mut down: HashMap<(usize, Item), Vec<Item>> = HashMap::new();
    for (row, above, below) in &links {
        up.entry((row + 1, *below)).or_default().push(*above);
        down.entry((*row, *above)).or_default().push(*below);
    }
    let places = |row: &[Item]| -> HashMap<Item, f64> {
        let middle = (row.len() as f64 - 1.0) / 2.0;
        row.iter().enumerate().map(|(at, item)| (*item, at as f64 - middle)).collect()
    };
    for sweep in 0..SWEEPS {
        let downwards = sweep % 2 == 0;
        for step in 1..rows.len() {
            let row = if downwards { step } else { rows.len() - 1 - step };
            let (other, linked) = if downwards { (row - 1, &up) } else { (row + 1, &down) };
            let (known, own) = (places(&rows[other]), places(&rows[row]));
            let wanted: HashMap<Item, f64> = rows[row]
                .iter()
                .map(|item| {
                    let others = linked.get(&(row, *item)).map_or(&[][..], Vec::as_slice);
                    let sum: f64 = others.iter().filter_map(|other| known.get(other)).sum();
                    let wanted = if others.is_empty() { own[item] } else { sum / others.len() as f64 };
                    (*item, wanted)
                })
                .collect();
            rows[row].sort_by(|a, b| wanted[a].total_cmp(&wanted[b]));
        }
    }
    let at: Vec<BTreeMap<Item, usize>> =
        rows.iter().map(|row| row.iter().enumerate().map(|(at, item)| (*item, at)).collect()).collect();
    links.into_iter().map(|(row, above, below)| (row, at[row][&above], at[row + 1][&below])).collect()
}

/// The middle of each item: as near to what it is linked to as the order and the distances allow.
fn place(rows: &[Vec<Item>], links: &[(usize, usize, usize)], sizes: &Sizes) -> Vec<Vec<f64>> {
    let room = |item: &Item| if matches!(item, Item::Step(_)) { sizes.width } else { PASSING };
    let offsets: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| {
            let mut x = 0.0;
            let mut previous: Option<f64> = None;
            row.iter()
                .map(|item| {
                    x += previous.map_or(0.0, |previous| (previous + room(item)) / 2.0 + sizes.apart);
                    previous = Some(room(item));
                    x
                })
                .collect()
        })
        .collect();
    let mut x: Vec<Vec<f64>> = offsets
        .iter()
        .map(|row| row.iter().map(|at| at - row.last().copied().unwrap_or(0.0) / 2.0).collect())
        .collect();
    let mut above: Vec<Vec<Vec<usize>>> = rows.iter().map(|row| vec![Vec::new(); row.len()]).collect();
    let mut below = above.clone();
    for (row, from, to) in links {
        below[*row][*from].push(*to);
        above[row + 1][*to].push(*from);
    }
    for sweep in 0..2 * SWEEPS {
        for step in 0..rows.len() {
            let row = if sweep % 2 == 0 { step } else { rows.len() - 1 - step };
            let wanted: Vec<f64> = (0..rows[row].len())
                .map(|at| {
                    let up = above[row][at].iter().map(|other| x[row - 1][*other]);
                    let near: Vec<f64> =
                        up.chain(below[row][at].iter().map(|other| x[row + 1][*other])).collect();
                    if near.is_empty() { x[row][at] } else { near.iter().sum::<f64>() / near.len() as f64 }
                })
                .collect();
            x[row] = nearest(&wanted, &offsets[row]);
        }
    }
    let left = x.iter().flatten().fold(f64::INFINITY, |least, x| least.min(*x));
    let shift = if left.is_finite() { sizes.width / 2.0 - left } else { 0.0 };
    x.iter_mut().flatten().for_each(|x| *x = (*x + shift).round());
    x
}

/// The places nearest to the wanted ones that keep their distances (pool adjacent violators).
fn nearest(wanted: &[f64], offsets: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(offsets) {
        pools.push((wanted - offset, 1));
        while let [.., (before, many), (last, more)] = pools.as_slice() {
            if before <= last {
                break;
            }
            let (count, sum) = (many + more, before * *many as f64 + last * *more as f64);
            pools.truncate(pools.len() - 2);
            pools.push((sum / count as f64, count));
        }
    }
    let spread = pools.into_iter().flat_map(|(at, count)| std::iter::repeat_n(at, count));
    spread.zip(offsets).map(|(at, offset)| at + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { width: 100.0, height: 40.0, apart: 20.0, below: 30.0, most: 4 };

    fn check(needs: &[Vec<usize>]) -> Layout {
        let order: Vec<usize> = (0..needs.len()).collect();
        let kept = reduced(&order, needs);
        let found = layout(&order, &kept, &SIZES);
        let mut seen = vec![None; needs.len()];
        for (number, row) in found.rows.iter().enumerate() {
            let steps = row.iter().filter(|placed| matches!(placed.item, Item::Step(_)));
            assert!(steps.count() <= SIZES.most);
            for pair in row.windows(2) {
                let room =
                    |placed: &Placed| if matches!(placed.item, Item::Step(_)) { 100.0 } else { PASSING };
                let apart = (room(&pair[0]) + room(&pair[1])) / 2.0 + SIZES.apart;
                assert!(pair[1].x - pair[0].x >= apart - 1.5, "two items overlap: {pair:?}");
            }
            for placed in row {
                assert!(placed.x >= 50.0 || !matches!(placed.item, Item::Step(_)));
                if let Item::Step(step) = placed.item {
                    seen[step] = Some(number);
                }
            }
        }
        for (step, needs) in needs.iter().enumerate() {
            assert!(needs.iter().all(|need| seen[*need] < seen[step]), "{step} stands above what it needs");
        }
        // Following the links downwards from a step comes to all that need it, and to nothing else.
        for (from, row) in seen.iter().enumerate() {
            let mut reached = Vec::new();
            let row = row.unwrap();
            let at = found.rows[row].iter().position(|placed| placed.item == Item::Step(from)).unwrap();
            let mut stack = vec![(row, at)];
            while let Some((row, at)) = stack.pop() {
                for (_, _, next) in found.links.iter().filter(|link| link.0 == row && link.1 == at) {
                    match found.rows[row + 1][*next].item {
                        Item::Step(step) => reached.push(step),
                        _ => stack.push((row + 1, *next)),
                    }
                }
            }
            reached.sort_unstable();
            reached.dedup();
            let wanted: Vec<usize> = (0..needs.len()).filter(|to| kept[*to].contains(&from)).collect();
            assert_eq!(reached, wanted, "the arrows from {from}");
        }
        found
    }

    #[test]
    fn a_chain_is_straight() {
        let found = check(&[vec![], vec![0], vec![1], vec![2]]);
        assert!(found.rows.iter().all(|row| row.len() == 1 && row[0].x == 50.0));
    }

    #[test]
    fn what_follows_is_not_drawn_and_long_arrows_go_around() {
        let kept = reduced(&[0, 1, 2], &[vec![], vec![0], vec![0, 1]]);
        assert_eq!(kept, [vec![], vec![0], vec![1]]);
        let found = check(&[vec![], vec![], vec![1], vec![2], vec![0, 3]]);
        assert!(found.rows[1].len() == 2, "the arrow from 0 passes the row of 2");
    }

    #[test]
    fn any_graph_has_a_layout() {
        let mut seed = 7u64;
        let mut chance = move |end: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % end
        };
        for size in [1, 2, 5, 13, 40, 90] {
            for most in [1, 3] {
                let needs: Vec<Vec<usize>> = (0..size)
                    .map(|step| {
                        let mut needs: Vec<usize> =
                            (0..chance(most + 1)).filter(|_| step > 0).map(|_| chance(step)).collect();
                        needs.sort_unstable();
                        needs.dedup();
                        needs
                    })
                    .collect();
                check(&needs);
            }
        }
        // Side by side, and all before one.
        let mut needs = vec![Vec::new(); 30];
        needs.push((0..30).collect());
        check(&needs);
        assert_eq!(layout(&[], &[], &SIZES), Layout { width: 50.0, ..Layout::default() });
    }
}
