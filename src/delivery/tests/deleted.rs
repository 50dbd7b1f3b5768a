//! Deleted products, and what becomes of their SKUs.

use super::kinds::{product, sku};
use super::world::World;
use super::*;
use crate::kind::Kind;

fn two_products_with_skus(world: &mut World) {
    product(world, "P1", "Tea");
    product(world, "P2", "Cup");
    sku(world, "S1", "P1", "small");
    sku(world, "S2", "P1", "large");
    sku(world, "S3", "P2", "blue");
}

fn deletions(world: &World) -> usize {
    (world.arrivals().iter())
        .filter(|arrival| arrival.method == "DELETE")
        .count()
}

/// SKUs that are deleted here.
fn gone(world: &World) -> String {
    let reader = world.store.reader().unwrap();
    let sql = "SELECT coalesce(group_concat(source_id), '') FROM record WHERE kind = 2 AND gone";
    reader.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn skus_go_with_their_product_and_cost_no_call() {
    let mut world = World::new();
    two_products_with_skus(&mut world);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    world.delete(Kind::Products, &["P1"]);
    assert_eq!(gone(&world), "S1,S2");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(deletions(&world), 1);
    assert_eq!(world.parked(), []);
    for (key, there) in [("S1", false), ("S2", false), ("S3", true)] {
        let found = world.object("skus", key).is_object();
        assert_eq!(found, there, "{key}");
    }
    // The product comes back alone, and its SKUs when a file brings them.
    product(&mut world, "P1", "Tea");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert!(world.object("skus", "S1").is_null());
    sku(&mut world, "S1", "P1", "small");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert!(world.object("skus", "S1").is_object());
    assert_eq!(deletions(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sku_that_comes_after_its_products_deletion_waits_for_it() {
    let mut world = World::new();
    two_products_with_skus(&mut world);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    world.delete(Kind::Products, &["P1"]);
    // As it was acknowledged; and one that moved away in time.
    sku(&mut world, "S1", "P1", "small");
    sku(&mut world, "S2", "P2", "large");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("S1".to_owned(), "product_unknown".to_owned())]
    );
    assert_eq!(deletions(&world), 1);
    assert_eq!(world.object("skus", "S2")["product_key"], "P2");
    product(&mut world, "P1", "Tea");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.parked(), []);
    assert!(world.object("skus", "S1").is_object());
}

/// What it takes to delete P1, to make it again before it is sent, and one of its SKUs with it.
async fn deleted_and_made_again(world: &mut World) {
    two_products_with_skus(world);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    let before = world.arrivals().len();
    world.delete(Kind::Products, &["P1"]);
    product(world, "P1", "Tea again");
    sku(world, "S2", "P1", "large");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    let calls: Vec<String> = (world.arrivals()[before..].iter())
        .map(|arrival| arrival.method.clone())
        .collect();
    // Deleted, made, and the one SKU that came again.
    assert_eq!(calls, ["DELETE", "POST", "POST"]);
    assert!(world.object("skus", "S1").is_null());
    assert!(world.object("skus", "S2").is_object());
}

#[tokio::test(start_paused = true)]
async fn a_product_that_is_deleted_and_made_again_before_it_is_sent_takes_its_skus_along() {
    deleted_and_made_again(&mut World::new()).await;
}

#[tokio::test(start_paused = true)]
async fn skus_that_came_after_the_first_deletion_are_found_by_their_product_too() {
    let mut world = World::new();
    product(&mut world, "P0", "Tray");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    world.delete(Kind::Products, &["P0"]);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    deleted_and_made_again(&mut world).await;
    // One that moved is found by the product that it moved to.
    sku(&mut world, "S3", "P1", "blue");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    let before = deletions(&world);
    world.delete(Kind::Products, &["P1"]);
    product(&mut world, "P1", "Tea");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(deletions(&world), before + 1);
    assert!(world.object("skus", "S3").is_null());
}

#[tokio::test(start_paused = true)]
async fn skus_of_a_product_that_never_went_from_here_are_deleted_by_themselves() {
    let mut world = World::new();
    // Another host's product.
    let now = world.clock.steady();
    let made = crate::standin::Request::json("POST", "/v1/products", r#"{"source_id":"P1"}"#);
    world.remote.lock().unwrap().answer(&made, now);
    sku(&mut world, "S1", "P1", "small");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    product(&mut world, "P1", "Coffee");
    world.delete(Kind::Products, &["P1"]);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert!(world.object("skus", "S1").is_null());
    assert_eq!(deletions(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_product_whose_deletion_is_refused_keeps_no_sku() {
    let mut world = World::new();
    two_products_with_skus(&mut world);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    world.faults(r#"{"faults":[{"match":"DELETE /v1/products/P1","always":true,"status":400,"body":{"code":400,"key":"invalid_product","message":"no"}}]}"#);
    world.delete(Kind::Products, &["P1"]);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.parked().len(), 1);
    assert!(world.object("skus", "S1").is_null());
    world.faults("{}");
    world
        .store
        .write(|c| flight::discard(c, &flight::Selection::All, false, 1))
        .unwrap();
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.parked(), []);
    assert!(world.object("products", "P1").is_object());
    assert!(world.object("skus", "S1").is_null());
}
