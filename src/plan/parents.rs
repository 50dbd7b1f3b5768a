//! Which records wait for which: a record is held back only by a parent on its way.

use crate::kind::Kind;

/// What the store knows of a record that another one names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// No such record here; the remote may know it.
    Unknown,
    /// Pending or in flight.
    OnItsWay,
    Parked,
    /// Deleted here, and the remote knows.
    Gone,
    /// Acknowledged.
    There,
}

/// The parents of a record. `None`: it names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parents {
    /// A SKU's.
    pub product: Option<Parent>,
    /// An order's.
    pub customer: Option<Parent>,
    /// Some product or SKU that an order's items name is on its way.
    pub item_on_its_way: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Go,
    /// An order goes without its customer. `again`: and once more when the customer is there.
    WithoutCustomer {
        again: bool,
    },
    /// Until its parent has arrived.
    Wait,
    /// A SKU of a product that is parked, or gone: `product_unknown`, until the product comes.
    NoProduct,
    /// Nothing is left to do: a SKU's deletion, once its product is deleted.
    Done,
}

/// `gone`: the record itself is deleted here.
pub fn readiness(kind: Kind, gone: bool, parents: Parents) -> Readiness {
    match (kind, gone, parents.product, parents.customer) {
        (Kind::Products | Kind::Customers, ..) => Readiness::Go,
        (Kind::Skus, _, Some(Parent::OnItsWay), _) => Readiness::Wait,
        (Kind::Skus, true, Some(Parent::Gone), _) => Readiness::Done,
        (Kind::Skus, true, ..) => Readiness::Go,
        (Kind::Skus, false, Some(Parent::Parked | Parent::Gone) | None, _) => Readiness::NoProduct,
        (Kind::Skus, false, Some(Parent::Unknown | Parent::There), _) => Readiness::Go,
        (Kind::Orders, true, ..) => Readiness::Go,
        (Kind::Orders, false, _, Some(Parent::OnItsWay)) => Readiness::Wait,
        (Kind::Orders, false, ..) if parents.item_on_its_way => Readiness::Wait,
        // One that was deleted may be made again, and the order still names it here.
        (Kind::Orders, false, _, Some(Parent::Parked | Parent::Gone)) => {
            Readiness::WithoutCustomer { again: true }
        }
        // Not stored: it was forgotten, since an order's word creates its customer.
        (Kind::Orders, false, _, Some(Parent::Unknown)) => {
            Readiness::WithoutCustomer { again: false }
        }
        (Kind::Orders, false, _, Some(Parent::There) | None) => Readiness::Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn sku(gone: bool, product: Parent, expected: Readiness) {
        let parents = Parents {
            product: Some(product),
            ..Parents::default()
        };
        assert_eq!(readiness(Kind::Skus, gone, parents), expected);
    }

    #[test]
    fn a_sku_waits_for_a_product_on_its_way_alone() {
        sku(false, Parent::OnItsWay, Readiness::Wait);
        sku(false, Parent::There, Readiness::Go);
        sku(false, Parent::Unknown, Readiness::Go);
        sku(false, Parent::Parked, Readiness::NoProduct);
        sku(false, Parent::Gone, Readiness::NoProduct);
        sku(true, Parent::OnItsWay, Readiness::Wait);
        sku(true, Parent::Gone, Readiness::Done);
        sku(true, Parent::There, Readiness::Go);
    }

    #[track_caller]
    fn order(customer: Option<Parent>, item_on_its_way: bool, expected: Readiness) {
        let parents = Parents {
            customer,
            item_on_its_way,
            ..Parents::default()
        };
        assert_eq!(readiness(Kind::Orders, false, parents), expected);
    }

    #[test]
    fn an_order_goes_without_a_customer_that_is_not_there() {
        let without = |again| Readiness::WithoutCustomer { again };
        order(None, false, Readiness::Go);
        order(Some(Parent::There), false, Readiness::Go);
        order(Some(Parent::OnItsWay), false, Readiness::Wait);
        order(Some(Parent::There), true, Readiness::Wait);
        order(Some(Parent::Parked), false, without(true));
        order(Some(Parent::Parked), true, Readiness::Wait);
        order(Some(Parent::Gone), false, without(true));
        order(Some(Parent::Unknown), false, without(false));
    }
}
