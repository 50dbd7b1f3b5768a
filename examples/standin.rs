//! The stand-in alone: `cargo run --example standin [ADDR]`.

fn main() -> std::io::Result<()> {
    let listen = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".into());
    let listen = listen.parse().map_err(std::io::Error::other)?;
    tillsync::standin::run(listen, tillsync::standin::Options::default())
}
