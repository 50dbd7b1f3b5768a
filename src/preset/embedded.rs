//! The built-in presets, in their order of precedence: connectors, then shops (INTERFACE.md, Presets).

macro_rules! presets {
    ($($folder:literal: $($name:literal)*;)*) => {
        &[$($((
            $name,
            include_str!(concat!($folder, "/", $name, ".toml")),
        ),)*)*]
    };
}

/// Name and text.
pub(super) const ALL: &[(&str, &str)] = presets! {
    "connectors":
        "mparticle-audience"
        "mparticle-eventless"
        "braze"
        "braze-emails"
        "klaviyo"
        "intercom"
        "zoho"
        "salesforce-orders"
        "salesforce-products"
        "salesforce-contacts"
        "salesforce-report"
        "segment-unformatted"
        "segment"
        "batch-emails"
        "batch"
        "bloomreach"
        "moengage"
        "voucherify-export-orders"
        "voucherify-export-skus"
        "voucherify-skus"
        "voucherify-export-customers"
        "voucherify-export-products"
        "voucherify-customers"
        "voucherify-products";
    "shops":
        "shopify-products"
        "shopify-customers"
        "shopify-customers-old"
        "shopify-orders"
        "woo-products"
        "woo-orders-webtoffee"
        "woo-orders-skyverge"
        "woo-orders-algol"
        "woo-customers-analytics"
        "woo-customers"
        "square-orders"
        "square-transactions"
        "square-products"
        "square-customers"
        "lightspeed-products"
        "vend-products"
        "vend-customers"
        "magento-products"
        "magento-customers"
        "magento-customers-grid"
        "magento-orders"
        "odoo-customers"
        "odoo-products"
        "odoo-orders"
        "prestashop-customers"
        "prestashop-products"
        "bigcommerce-products"
        "stripe-customers"
        "squarespace-orders"
        "squarespace-products"
        "wix-products"
        "toast-orders"
        "loyverse-products"
        "erp-de-customers"
        "erp-de-products"
        "erp-pl-customers";
};
