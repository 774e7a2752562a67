//! What `hongbaod check` says of Alipay: away, silent, another server, or other keys than ours.

use std::net::TcpListener;

use super::{Start, check_with, set, world};
use crate::openssl::openssl;
use crate::servers::management_url;

const GATEWAY: &str = "HONGBAOD__ALIPAY__GATEWAY";
const APP_ID: &str = "HONGBAOD__ALIPAY__APPS__MAIN__APP_ID";
const PRIVATE_KEY: &str = "HONGBAOD__ALIPAY__APPS__MAIN__PRIVATE_KEY_FILE";
const PUBLIC_KEY: &str = "HONGBAOD__ALIPAY__APPS__MAIN__ALIPAY_PUBLIC_KEY_FILE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_about_alipay_is_in_the_page() {
    let world = world().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let path = |name: &str| world.path(name).display().to_string();
    let (private_key, public_key) = (path("others_private.pem"), path("others_public.pem"));
    openssl(&world.path(""), "genrsa -out others_private.pem 2048");
    openssl(
        &world.path(""),
        "rsa -in others_private.pem -pubout -out others_public.pem",
    );
    let starts: [Start; 6] = [
        vec![set(GATEWAY, "http://127.0.0.1:9/gateway.do")],
        vec![set(GATEWAY, &format!("http://{silent_address}/gateway.do"))],
        vec![set(GATEWAY, &format!("{}/nowhere", management_url()))],
        vec![set(APP_ID, "2021000000000099")],
        vec![set(PRIVATE_KEY, &private_key)],
        vec![set(PUBLIC_KEY, &public_key)],
    ];
    check_with(&world, &["check", "--json"], "about Alipay", &starts).await;
}
