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
};
