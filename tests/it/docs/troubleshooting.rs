//! `docs/troubleshooting.md`: each line about a start is what the real program says about real
//! servers, keys and files that are not as they must be, and nothing that it says is missing there.

mod alipay;
mod configuration;
mod keys;
mod rabbitmq;
mod redis;

use super::{code, rows};
use crate::daemon::world::{World, WorldOptions};

const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// What stands for whatever differs from start to start.
const ANYTHING: char = '…';

/// One start that cannot work: the variables that make it so.
type Start = Vec<(&'static str, String)>;

fn set(name: &'static str, value: &str) -> (&'static str, String) {
    (name, value.to_owned())
}

/// A sandbox, and a configuration that works, on embedded servers. A start that is to hear what a server says
/// has time for it; the few that hear nothing wait as long.
async fn world() -> World {
    let options = WorldOptions {
        amqp: "memory:".to_owned(),
        redis: "memory:".to_owned(),
        sandbox: &[],
        settings: &[("HONGBAOD__REDIS__CONNECT_TIMEOUT", "5s")],
    };
    World::start("first-words", options).await
}

/// Whether the pieces of a cell around its [`ANYTHING`]s come in `told`, one after the other.
fn is_told(told: &str, cell: &str) -> bool {
    let mut rest = told;
    cell.split(ANYTHING)
        .all(|piece| match rest.split_once(piece) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
}

/// Starts the daemon in each of the ways, see [`check_with`].
async fn check(world: &World, table: &str, starts: &[Start]) {
    check_with(world, &["run"], table, starts).await;
}

/// Starts `hongbaod` with `words` in each of the ways. Each time it must end with the exit code of a row of the
/// table, say what that row says, and what to do; and each row must be met.
async fn check_with(world: &World, words: &[&str], table: &str, starts: &[Start]) {
    let rows = rows(PAGE, table);
    let mut met = vec![false; rows.len()];
    let mut all_told = String::new();
    for start in starts {
        let mut process = world.hongbaod_with(words, start);
        let ended = process.exit_code().await;
        let told = process.written().text();
        // The longest one: "reach Redis at …" is said with many causes, some with a row of their own.
        let hits = (0..rows.len()).filter(|index| is_told(&told, code(rows[*index][0])));
        let hit = hits.max_by_key(|index| rows[*index][0].len());
        let hit = hit.unwrap_or_else(|| panic!("{table} does not have this:\n{told}"));
        met[hit] = true;
        all_told += &told;
        let exit_code = ended.map(|code| code.to_string());
        assert_eq!(exit_code.as_deref(), Some(rows[hit][1]), "{told}");
        assert!(
            told.contains("; ") || told.contains(": set "),
            "no remedy in {told}"
        );
        for secret in ["pa55", "guest:guest", "panicked"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
    let missed: Vec<&str> = rows
        .iter()
        .zip(met)
        .filter(|(_, met)| !met)
        .map(|(row, _)| row[0])
        .collect();
    assert_eq!(missed, [""; 0], "nothing of this says it:\n{all_told}");
}

#[test]
fn a_cell_is_told_where_its_pieces_come_in_order() {
    let told = "hongbaod: use Redis: reach Redis at 127.0.0.1:9: Connection refused; start it";
    assert!(is_told(told, "reach Redis at …: Connection refused"));
    assert!(!is_told(told, "Connection refused … reach Redis"));
    assert!(!is_told(told, "reach RabbitMQ at …"));
}
