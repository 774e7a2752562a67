//! Keys that are missing, damaged, or others than they must be.

use super::{Start, check, set, world};
use crate::daemon::world::World;
use crate::openssl::openssl;
use crate::servers::tls_path;

const PRIVATE: &str = "HONGBAOD__ALIPAY__APPS__MAIN__PRIVATE_KEY_FILE";
const PUBLIC: &str = "HONGBAOD__ALIPAY__APPS__MAIN__ALIPAY_PUBLIC_KEY_FILE";

/// A file beside the sandbox's keys, with this text.
fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_about_keys_is_in_the_page() {
    let world = world().await;
    let path = |name: &str| world.path("keys").join(name).display().to_string();
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let private_key = text("app_private_key.pem");
    let public_key = text("alipay_public_key.pem");
    let directory = world.path("");
    openssl(&directory, "genrsa -out short.pem 1024");
    openssl(
        &directory,
        "ecparam -name prime256v1 -genkey -noout -out elliptic.pem",
    );
    let [short, elliptic] =
        ["short.pem", "elliptic.pem"].map(|name| world.path(name).display().to_string());
    let starts: [Start; 15] = [
        vec![set(PRIVATE, "nowhere.pem")],
        vec![set(PRIVATE, &file(&world, "empty.pem", "\n"))],
        vec![set(PRIVATE, &file(&world, "words.pem", "no key"))],
        vec![set(
            PRIVATE,
            &file(&world, "half.pem", &private_key[..private_key.len() / 2]),
        )],
        vec![set(PRIVATE, &path("app_public_key.pem"))],
        vec![set(
            PRIVATE,
            &file(&world, "two.pem", &private_key.repeat(2)),
        )],
        vec![set(PRIVATE, &short)],
        vec![set(
            PRIVATE,
            &file(&world, "other.pem", "bm8ga2V5IGF0IGFsbA=="),
        )],
        vec![set(PRIVATE, &elliptic)],
        vec![set(PRIVATE, &tls_path("ca.pem"))],
        vec![set(
            PUBLIC,
            &file(&world, "quoted.pem", &format!("\"{}\"", "bm8g".repeat(9))),
        )],
        vec![set(PUBLIC, &path("app_private_key.pem"))],
        vec![set(PUBLIC, &path("app_public_key.pem"))],
        vec![set(
            PUBLIC,
            &file(&world, "cut.pem", &public_key[..public_key.len() / 2]),
        )],
        vec![set("HONGBAOD__ALIPAY__APPS__MAIN__AES_KEY", "short")],
    ];
    check(&world, "about keys", &starts).await;
}
