//! The most similar people, by the server's ranking and by sums in float 64 of what is near the top.

use super::failure::Failure;
use super::number_in;
use super::session::within;
use crate::gallery::Match;
use crate::gallery::template::{TemplateNumber, cosine};
use pgvector::Vector;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement, Transaction};

/// By pgvector's inner product, the nearest first; person and similarity in the same places.
pub(super) const NEAREST_TEMPLATES: &str = "SELECT person, -(vector <#> $1), number, session, vector \
     FROM templates ORDER BY vector <#> $1 LIMIT $2";
pub(super) const NEAREST_MEANS: &str = "SELECT person, -avg(vector <#> $1) FROM templates GROUP BY person \
     ORDER BY avg(vector <#> $1) LIMIT $2";
const OF_THESE: &str =
    "SELECT person, number, vector FROM templates WHERE person = ANY ($1) ORDER BY number";

/// Rows of a ranking, nearest first, as far as they can hold one of the k most similar people.
pub(super) async fn within_reach(
    transaction: &Transaction<'_>,
    ranking: &Statement,
    probe: &[f32],
    k: usize,
    limit: Duration,
) -> Result<Vec<Row>, Failure> {
    // Twice n·u, since lengths are 1 only up to rounding.
    let doubt = probe.len() as f64 * f64::from(f32::EPSILON);
    let vector = Vector::from(probe.to_vec());
    // People have few sessions: so many rows mostly hold k people. Else more are asked for.
    let mut asked = k.saturating_mul(4).saturating_add(32);
    loop {
        let most = i64::try_from(asked).unwrap_or(i64::MAX);
        let values: [&(dyn ToSql + Sync); 2] = [&vector, &most];
        let rows = within(limit, transaction.query(ranking, &values)).await?;
        if rows.len() < asked || reach_beyond(&rows, k, doubt)? {
            return Ok(rows);
        }
        asked = asked.saturating_mul(8);
    }
}

/// Whether the last of these rows lies too far for a place among k people.
fn reach_beyond(rows: &[Row], k: usize, doubt: f64) -> Result<bool, tokio_postgres::Error> {
    let mut people = HashSet::new();
    let mut last_place = None;
    for row in rows {
        people.insert(row.try_get::<_, &str>(0)?);
        let similarity: f64 = row.try_get(1)?;
        match last_place {
            None if people.len() == k => last_place = Some(similarity),
            Some(place) if similarity < place - 2.0 * doubt => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// A person who may be in an answer, and the number that decides between equals.
struct Candidate {
    number: TemplateNumber,
    found: Match,
}

pub(super) fn best_of_each(rows: &[Row], probe: &[f32]) -> Result<Vec<Match>, Failure> {
    let mut candidates = Vec::with_capacity(rows.len());
    for row in rows {
        let vector: Vector = row.try_get(4)?;
        let number = number_in(row, 2)?;
        candidates.push(Candidate {
            number,
            found: Match {
                person: row.try_get(0)?,
                session: Some(row.try_get(3)?),
                template: Some(number),
                similarity: cosine(vector.as_slice(), probe),
            },
        });
    }
    let mut people = in_order(candidates);
    let mut seen = HashSet::new();
    people.retain(|found| seen.insert(found.person.clone()));
    Ok(people)
}

/// The mean of the similarities to all templates of each of these people.
pub(super) async fn mean_of_each(
    transaction: &Transaction<'_>,
    rows: &[Row],
    probe: &[f32],
    limit: Duration,
) -> Result<Vec<Match>, Failure> {
    let people = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let templates = within(limit, transaction.query(OF_THESE, &[&people])).await?;
    let mut sums: HashMap<&str, (TemplateNumber, f64, f64)> = HashMap::new();
    for row in &templates {
        let vector: Vector = row.try_get(2)?;
        let first = number_in(row, 1)?;
        let (_, sum, count) = sums.entry(row.try_get(0)?).or_insert((first, 0.0, 0.0));
        *sum += cosine(vector.as_slice(), probe);
        *count += 1.0;
    }
    let candidate =
        |(person, (number, sum, count)): (&str, (TemplateNumber, f64, f64))| Candidate {
            number,
            found: Match {
                person: person.to_string(),
                session: None,
                template: None,
                similarity: sum / count,
            },
        };
    Ok(in_order(sums.into_iter().map(candidate).collect()))
}

fn in_order(mut candidates: Vec<Candidate>) -> Vec<Match> {
    candidates.sort_by(|a, b| {
        b.found.similarity.total_cmp(&a.found.similarity).then(a.number.cmp(&b.number))
    });
    candidates.into_iter().map(|candidate| candidate.found).collect()
}
