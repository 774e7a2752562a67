//! Redis away, closed to us, or no server that could be the ledger.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use super::{Start, check, set, world};
use crate::ports::free_port;
use crate::proxy::Proxy;
use crate::redis_sentinels::RedisSentinels;
use crate::redis_server::RedisServer;
use crate::servers::{amqp_url, redis_url, rediss_url, tls_path};

const URLS: &str = "HONGBAOD__REDIS__URLS";
const MODE: &str = "HONGBAOD__REDIS__MODE";
const CA: &str = "HONGBAOD__REDIS__TLS_CA_FILE";

/// A server as Redis 5 was: it does not know the first word that is said to it.
fn old_server() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut said = [0; 1024];
            while let Ok(length) = stream.read(&mut said)
                && length > 0
            {
                // Each command begins with the count of its words: `*2`.
                let commands = said[..length].iter().filter(|byte| **byte == b'*');
                let answer = "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n";
                let answers = answer.repeat(commands.count());
                if stream.write_all(answers.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    format!("redis://{address}/0")
}

/// The same server for a user, and without its last part.
fn as_user(url: &str, login: &str) -> String {
    url.replace("redis://", &format!("redis://{login}@"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_about_redis_is_in_the_page() {
    let world = world().await;
    let locked = RedisServer::start(&["--requirepass", "right"]);
    let limited = RedisServer::start(&[]);
    let mut redis = limited.connection().await;
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER")
        .arg(&["limited", "on", ">pa55", "~*", "+@connection"]);
    user.exec_async(&mut redis).await.unwrap();
    let mut push = redis::cmd("RPUSH");
    push.arg(format!("{}:canary", world.prefix)).arg("x");
    push.exec_async(&mut redis).await.unwrap();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", "9"]);
    let evicting = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let bus = free_port().to_string();
    let node = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let sentinels = RedisSentinels::start().await;
    let foreign = Proxy::listening_on(Ipv4Addr::new(127, 0, 0, 2), &rediss_url());
    let amqp = amqp_url().replace("guest:guest@", "");
    let (_, amqp) = amqp.split_once("://").unwrap();
    let (amqp, _) = amqp.split_once('/').unwrap();

    let trusting = |url: &str| vec![set(URLS, url), set(CA, &tls_path("ca.pem"))];
    let plain = rediss_url().replace("rediss://", "redis://");
    let starts: [Start; 17] = [
        vec![set(URLS, "redis://127.0.0.1:9/0")],
        vec![set(URLS, &locked.url())],
        vec![set(URLS, &as_user(&locked.url(), ":pa55"))],
        vec![set(URLS, &as_user(&limited.url(), "limited:pa55"))],
        vec![set(URLS, &limited.url())],
        vec![set(URLS, &format!("redis://{amqp}/0"))],
        vec![set(URLS, &old_server())],
        vec![set(URLS, &replica.url())],
        vec![set(URLS, &evicting.url())],
        vec![set(URLS, &node.url())],
        vec![set(URLS, &redis_url()), set(MODE, "cluster")],
        vec![set(URLS, &node.url()), set(MODE, "cluster")],
        vec![
            set(URLS, &sentinels.urls()[0]),
            set(MODE, "sentinel"),
            set("HONGBAOD__REDIS__SENTINEL_MASTER", "nobody"),
        ],
        vec![set(URLS, &plain)],
        trusting(&redis_url().replace("redis://", "rediss://")),
        vec![set(URLS, &rediss_url())],
        trusting(&foreign.url(&rediss_url())),
    ];
    check(&world, "about Redis", &starts).await;
}
