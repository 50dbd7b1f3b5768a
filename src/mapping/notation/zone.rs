//! Names of time zones as exports write them.

use jiff::tz::TimeZone;

/// An IANA name, one of Rails' names (`Eastern Time (US & Canada)`, Square), `UTC` or `GMT`.
pub fn named(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    let iana = RAILS
        .iter()
        .find(|(rails, _)| rails.eq_ignore_ascii_case(name))
        .map_or(name, |(_, iana)| iana);
    TimeZone::get(iana).ok()
}

/// ActiveSupport's names where they are not those of a city's IANA zone.
const RAILS: &[(&str, &str)] = &[
    ("International Date Line West", "Etc/GMT+12"),
    ("American Samoa", "Pacific/Pago_Pago"),
    ("Midway Island", "Pacific/Midway"),
    ("Hawaii", "Pacific/Honolulu"),
    ("Alaska", "America/Juneau"),
    ("Pacific Time (US & Canada)", "America/Los_Angeles"),
    ("Tijuana", "America/Tijuana"),
    ("Mountain Time (US & Canada)", "America/Denver"),
    ("Arizona", "America/Phoenix"),
    ("Central Time (US & Canada)", "America/Chicago"),
    ("Saskatchewan", "America/Regina"),
    ("Central America", "America/Guatemala"),
    ("Mexico City", "America/Mexico_City"),
    ("Eastern Time (US & Canada)", "America/New_York"),
    ("Indiana (East)", "America/Indiana/Indianapolis"),
    ("Bogota", "America/Bogota"),
    ("Lima", "America/Lima"),
    ("Atlantic Time (Canada)", "America/Halifax"),
    ("Puerto Rico", "America/Puerto_Rico"),
    ("Newfoundland", "America/St_Johns"),
    ("Brasilia", "America/Sao_Paulo"),
    ("Buenos Aires", "America/Argentina/Buenos_Aires"),
    ("London", "Europe/London"),
    ("Edinburgh", "Europe/London"),
    ("Dublin", "Europe/Dublin"),
    ("Lisbon", "Europe/Lisbon"),
    ("Madrid", "Europe/Madrid"),
    ("Paris", "Europe/Paris"),
    ("Berlin", "Europe/Berlin"),
    ("Amsterdam", "Europe/Amsterdam"),
    ("Brussels", "Europe/Brussels"),
    ("Rome", "Europe/Rome"),
    ("Vienna", "Europe/Vienna"),
    ("Bern", "Europe/Zurich"),
    ("Zurich", "Europe/Zurich"),
    ("Copenhagen", "Europe/Copenhagen"),
    ("Stockholm", "Europe/Stockholm"),
    ("Warsaw", "Europe/Warsaw"),
    ("Prague", "Europe/Prague"),
    ("Budapest", "Europe/Budapest"),
    ("Athens", "Europe/Athens"),
    ("Bucharest", "Europe/Bucharest"),
    ("Helsinki", "Europe/Helsinki"),
    ("Kyiv", "Europe/Kiev"),
    ("Istanbul", "Europe/Istanbul"),
    ("Moscow", "Europe/Moscow"),
    ("Tokyo", "Asia/Tokyo"),
    ("Osaka", "Asia/Tokyo"),
    ("Hong Kong", "Asia/Hong_Kong"),
    ("Singapore", "Asia/Singapore"),
    ("Perth", "Australia/Perth"),
    ("Adelaide", "Australia/Adelaide"),
    ("Darwin", "Australia/Darwin"),
    ("Brisbane", "Australia/Brisbane"),
    ("Sydney", "Australia/Sydney"),
    ("Melbourne", "Australia/Melbourne"),
    ("Canberra", "Australia/Canberra"),
    ("Hobart", "Australia/Hobart"),
    ("Auckland", "Pacific/Auckland"),
    ("Wellington", "Pacific/Auckland"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_a_zone() {
        for (rails, _) in RAILS {
            assert!(named(rails).is_some(), "{rails}");
        }
        assert!(named("Europe/Warsaw").is_some());
        assert!(named("UTC").is_some());
        assert!(named("Middle-earth").is_none());
    }
}
