//! Closed-set identification: which enrolled person is a probe most like?

use super::{Metric, Undefined};

/// The gallery as one probe sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Gallery positions, most similar first; equal similarities keep gallery order.
    pub order: Vec<usize>,
    /// Rank of the probe's own person: one more than the number of others that score at least
    /// as high, so a tie counts against. `None` where the person is not enrolled.
    pub own_rank: Option<usize>,
}

/// Ranks a gallery of one template a person by similarity to one probe.
///
/// `similarities[g]` belongs to gallery position g; `own` is the probe's own position.
///
/// # Errors
/// A similarity that is NaN.
pub fn rank_gallery(similarities: &[f64], own: Option<usize>) -> Result<Ranking, Undefined> {
    if similarities.iter().any(|s| s.is_nan()) {
        return Err(Undefined::NotANumber);
    }
    let mut order: Vec<usize> = (0..similarities.len()).collect();
    order.sort_by(|&a, &b| similarities[b].total_cmp(&similarities[a]));
    let own_rank = own.map(|own| {
        let above = similarities
            .iter()
            .enumerate()
            .filter(|&(g, &s)| g != own && s >= similarities[own])
            .count();
        above + 1
    });
    Ok(Ranking { order, own_rank })
}

/// Share of the probes with an enrolled person whose own rank is at most k.
pub fn rank_k(rankings: &[Ranking], k: usize) -> Metric {
    let ranks: Vec<usize> = rankings.iter().filter_map(|r| r.own_rank).collect();
    if ranks.is_empty() {
        return Err(Undefined::NoProbe);
    }
    Ok(ranks.iter().filter(|&&rank| rank <= k).count() as f64 / ranks.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_one_and_ties_count_against() {
        let ranking = rank_gallery(&[0.2, 0.9, 0.5], Some(2)).unwrap();
        assert_eq!(ranking.order, [1, 2, 0]);
        assert_eq!(ranking.own_rank, Some(2));
        assert_eq!(rank_gallery(&[0.5, 0.5, 0.5], Some(0)).unwrap().own_rank, Some(3));
        assert_eq!(rank_gallery(&[0.5], None).unwrap().own_rank, None);
        assert_eq!(rank_gallery(&[f64::NAN], Some(0)), Err(Undefined::NotANumber));
    }

    #[test]
    fn rank_k_leaves_out_probes_without_an_enrolled_person() {
        let own = |rank| Ranking { order: vec![], own_rank: rank };
        let rankings = [own(Some(1)), own(Some(3)), own(None), own(Some(2)), own(Some(1))];
        assert_eq!(rank_k(&rankings, 1), Ok(0.5));
        assert_eq!(rank_k(&rankings, 2), Ok(0.75));
        assert_eq!(rank_k(&rankings, 5), Ok(1.0));
        assert_eq!(rank_k(&[own(None)], 1), Err(Undefined::NoProbe));
    }
}
