//! Breadth first through every interleaving, so that each trace shown is a shortest one.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::lifecycle_search::driver::Scenario;
use crate::lifecycle_search::world::World;

/// More waiting copies of one job than this are reported as growing.
const COPIES_MAX: usize = 7;

/// One step of the world.
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) fault: bool,
    pub(crate) world: World,
}

/// What a search found.
pub(crate) struct Report {
    pub(crate) states: usize,
    /// Whether every state was visited.
    pub(crate) complete: bool,
    /// Each broken promise with its shortest trace.
    pub(crate) breaks: Vec<(&'static str, String)>,
}

struct Node {
    world: Rc<World>,
    parent: Option<usize>,
    /// The steps that need no fault, once the node is expanded.
    next: Option<Vec<usize>>,
}

/// When a search may end before it has seen everything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The limit of states is reached.
    Limit,
    /// Or a promise is broken.
    FirstBreak,
}

/// Searches `scenario`.
pub(crate) fn search(scenario: &Scenario<'_>, until: Until) -> Report {
    let start = Rc::new(World::start(scenario.budget));
    let mut nodes = vec![Node {
        world: Rc::clone(&start),
        parent: None,
        next: None,
    }];
    let mut index = HashMap::from([(start, 0)]);
    let mut queue = VecDeque::from([0]);
    let mut broken: Vec<(&'static str, usize)> = Vec::new();
    let mut complete = true;
    while let Some(at) = queue.pop_front() {
        let world = Rc::clone(&nodes[at].world);
        let mut next = Vec::new();
        for step in scenario.steps(&world) {
            let known = index.get(&step.world).copied();
            let id = known.unwrap_or(nodes.len());
            if !step.fault {
                next.push(id);
            }
            if known.is_some() {
                continue;
            }
            let world = Rc::new(step.world);
            index.insert(Rc::clone(&world), id);
            let promises = world.broken(COPIES_MAX);
            nodes.push(Node {
                world,
                parent: Some(at),
                next: None,
            });
            // What lies behind a broken promise is not looked at.
            if promises.is_empty() {
                queue.push_back(id);
            }
            for promise in promises {
                if broken.iter().all(|(known, _)| *known != promise) {
                    broken.push((promise, id));
                }
            }
        }
        nodes[at].next = Some(next);
        let stop = until == Until::FirstBreak && !broken.is_empty();
        if nodes.len() >= scenario.states_max || stop {
            complete = queue.is_empty();
            break;
        }
    }
    if complete && broken.is_empty() {
        broken.extend(stuck(&nodes).map(|at| ("P2 a job is stuck for ever", at)));
    }
    let breaks = broken
        .into_iter()
        .map(|(promise, at)| (promise, trace(scenario, &nodes, at)))
        .collect();
    Report {
        states: nodes.len(),
        complete,
        breaks,
    }
}

/// The first state from which no fault-free steps lead to a quiet end.
fn stuck(nodes: &[Node]) -> Option<usize> {
    let mut before = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for &next in node.next.iter().flatten() {
            before[next].push(at);
        }
    }
    let mut ends: Vec<bool> = nodes.iter().map(|node| node.world.is_quiet()).collect();
    let mut queue: VecDeque<usize> = (0..nodes.len()).filter(|at| ends[*at]).collect();
    while let Some(at) = queue.pop_front() {
        for &earlier in &before[at] {
            if !ends[earlier] {
                ends[earlier] = true;
                queue.push_back(earlier);
            }
        }
    }
    ends.iter().position(|ends| !ends)
}

/// The steps that lead to a node, one a line.
fn trace(scenario: &Scenario<'_>, nodes: &[Node], at: usize) -> String {
    let mut path = vec![at];
    while let Some(parent) = path.last().and_then(|at| nodes[*at].parent) {
        path.push(parent);
    }
    path.reverse();
    let mut text = String::new();
    for pair in path.windows(2) {
        let (from, to) = (&nodes[pair[0]].world, &nodes[pair[1]].world);
        let what = scenario
            .steps(from)
            .into_iter()
            .find(|step| step.world == **to)
            .map_or_else(|| "?".to_owned(), |step| step.what);
        text.push_str(&format!("    {what}\n"));
    }
    text.push_str(&format!("    = {:?}\n", nodes[at].world));
    text
}
