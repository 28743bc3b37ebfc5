//! Connected components of a mask.
//!
//! Normals tie the depth of a pixel to its four neighbours' alone, so each 4-connected component
//! has a depth of its own, known up to one constant.

use super::multigrid::Grid;

/// The label of a cell off the mask.
pub(super) const OFF: u32 = u32::MAX;

pub(super) fn component_count(labels: &[u32]) -> usize {
    labels.iter().filter(|&&label| label != OFF).max().map_or(0, |&label| label as usize + 1)
}

/// Labels the 4-connected components of the defined cells 0, 1, … in the order of their first
/// cell; the others [`OFF`].
pub(super) fn components(grid: Grid, defined: &[bool]) -> Vec<u32> {
    // Union-find in which a root is the first cell of its tree.
    fn root(parents: &mut [u32], mut cell: u32) -> u32 {
        while parents[cell as usize] != cell {
            let grandparent = parents[parents[cell as usize] as usize];
            parents[cell as usize] = grandparent;
            cell = grandparent;
        }
        cell
    }
    let mut parents = vec![OFF; grid.len()];
    for i in grid.span().filter(|&i| defined[i]) {
        let (west, north) = (i - 1, i - grid.stride);
        parents[i] = match (defined[west], defined[north]) {
            (false, false) => i as u32,
            (true, false) => root(&mut parents, west as u32),
            (false, true) => root(&mut parents, north as u32),
            (true, true) => {
                let a = root(&mut parents, west as u32);
                let b = root(&mut parents, north as u32);
                parents[a.max(b) as usize] = a.min(b);
                a.min(b)
            }
        };
    }
    let mut labels = vec![OFF; grid.len()];
    let mut next = 0;
    for i in grid.span().filter(|&i| defined[i]) {
        let first = root(&mut parents, i as u32) as usize;
        if first == i {
            labels[i] = next;
            next += 1;
        } else {
            labels[i] = labels[first];
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Size;

    #[test]
    fn arms_that_meet_late_are_one_component_and_corners_do_not_join() {
        let rows = ["#.#..", "#.#.#", "###..", "...#."];
        let grid = Grid::new(Size::new(4, 5));
        let mut defined = vec![false; grid.len()];
        for (r, row) in rows.iter().enumerate() {
            for (c, cell) in row.bytes().enumerate() {
                defined[grid.index(r, c)] = cell == b'#';
            }
        }
        let labels = components(grid, &defined);
        let at = |r, c| labels[grid.index(r, c)];
        assert_eq!([at(0, 0), at(0, 2), at(2, 1)], [0, 0, 0]);
        assert_eq!([at(1, 4), at(3, 3)], [1, 2]);
        assert_eq!([at(0, 1), at(3, 2)], [OFF, OFF]);
    }
}
