//! Many replicas that race for the same caps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hongbaod::adapters::memory_budget::MemoryBudget;
use hongbaod::domain::budget::{Scope, Window};
use hongbaod::ports::budget::{Budget, Grant};
use tokio::task::JoinSet;

use super::{NOW, limit, redis, spending};

/// So many replicas, each with a connection of its own.
const REPLICAS: usize = 4;
/// So many reservers in each of them.
const RESERVERS: usize = 8;
/// An odd sum, so that nothing fits by chance.
const HOUR_CAP: u64 = 99_991;

/// Every reserver asks for smaller and smaller amounts until not one fen is left. Some of what was
/// granted is given back in between, and everything is asked for twice.
pub(crate) async fn a_cap_is_used_up_and_never_exceeded(replicas: Vec<Arc<dyn Budget>>) {
    let limits = [
        limit(Scope::App, Window::Hour, HOUR_CAP),
        limit(Scope::App, Window::Day, 10 * HOUR_CAP),
        limit(Scope::Payee, Window::Day, 20 * HOUR_CAP),
    ];
    let granted = Arc::new(AtomicU64::new(0));
    let mut reservers = JoinSet::new();
    for (replica, budget) in replicas.iter().enumerate() {
        for reserver in 0..RESERVERS {
            let (budget, granted) = (Arc::clone(budget), Arc::clone(&granted));
            reservers.spawn(async move {
                let mut fen = 701 + 13 * u64::try_from(reserver).unwrap();
                for turn in 0_u32.. {
                    let number = format!("R{replica}-{reserver}-{turn}");
                    let spending = spending(&number, fen, &limits);
                    let told = budget.draw(&spending).await.unwrap();
                    assert!(told.counts[0].spent_fen <= HOUR_CAP, "{told:?}");
                    let again = budget.draw(&spending).await.unwrap();
                    match told.grant {
                        Grant::Granted if turn % 7 == 3 && fen > 1 => {
                            budget.give_back(&spending).await.unwrap();
                        }
                        Grant::Granted => {
                            assert_eq!(again.grant, Grant::Granted);
                            granted.fetch_add(fen, Ordering::Relaxed);
                        }
                        // What was given back meanwhile may have let the second asking through.
                        Grant::Refused if again.grant == Grant::Granted => {
                            granted.fetch_add(fen, Ordering::Relaxed);
                        }
                        Grant::Refused if fen == 1 => return,
                        Grant::Refused => fen = fen.div_ceil(2),
                    }
                }
            });
        }
    }
    while let Some(done) = reservers.join_next().await {
        done.unwrap();
    }
    let sums = super::sums(&replicas[0], &limits).await;
    assert_eq!(
        sums,
        [granted.load(Ordering::Relaxed); 3],
        "what was granted"
    );
    assert_eq!(sums[0], HOUR_CAP, "to the last fen");
    assert!(limits[0].counter.ends_at() > NOW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_in_one_process_use_a_cap_up_and_never_exceed_it() {
    let budget: Arc<dyn Budget> = Arc::new(MemoryBudget::new());
    a_cap_is_used_up_and_never_exceeded(vec![budget; REPLICAS]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_replicas_use_a_cap_up_and_never_exceed_it() {
    a_cap_is_used_up_and_never_exceeded(redis::several(REPLICAS).await).await;
}
