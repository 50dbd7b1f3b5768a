//! The configuration that a person starts from: every setting with its default and a line about it,
//! drawn from the table of keys.

use std::fmt::Write;
use std::path::Path;

use super::keys::{Key, Section, Type, Worth};
use crate::kind::Kind;

/// Column at which a setting's comment begins.
const COMMENT_COLUMN: usize = 44;

/// What the written configuration says itself; everything else stands in it as a comment.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    pub state_dir: &'a Path,
    pub presets_dir: &'a Path,
    pub app_id_file: &'a Path,
    pub app_token_file: &'a Path,
    /// Where folders for the four kinds are made.
    pub drop_dir: &'a Path,
}

/// A whole file. Parsed, it is `start` and defaults.
pub fn commented(start: &Start<'_>) -> String {
    let mut out = String::from(
        "# tillsync. What is commented out is the default, or an example where it says \"absent\".\n\
         # Durations: 10s 5m 26h 7d. `tillsync check` explains every problem in this file.\n\n",
    );
    for section in Section::ALL {
        if section == Section::Folder {
            folders(&mut out, start);
            continue;
        }
        if section != Section::Top {
            let _ = writeln!(out, "[{}]", section.name());
        }
        for key in section.keys() {
            let set = match key.name {
                "state_dir" => Some(start.state_dir),
                "presets_dir" => Some(start.presets_dir),
                "app_id_file" => Some(start.app_id_file),
                "app_token_file" => Some(start.app_token_file),
                _ => None,
            };
            line(
                &mut out,
                key,
                set.map(|path| literal(&path.to_string_lossy())),
            );
        }
        out.push('\n');
    }
    out
}

/// One a kind; the first shows all that a folder can say.
fn folders(out: &mut String, start: &Start<'_>) {
    let kinds = [Kind::Customers, Kind::Products, Kind::Skus, Kind::Orders];
    out.push_str(
        "# One [[folder]] for each folder into which some other system writes its exports.\n",
    );
    for kind in kinds {
        let path = start.drop_dir.join(kind.name());
        out.push_str("[[folder]]\n");
        for key in Section::Folder.keys() {
            let set = match key.name {
                "path" => Some(literal(&path.to_string_lossy())),
                "kind" => Some(literal(kind.name())),
                _ => None,
            };
            let shown = match key.ty {
                // Shown below the others, as tables.
                Type::Pairs => false,
                _ if set.is_some() => true,
                _ => {
                    kind == Kind::Customers && !ORDERS_ONLY.contains(&key.name)
                        || kind == Kind::Orders && ORDERS_ONLY.contains(&key.name)
                }
            };
            if shown {
                line(out, key, set);
            }
        }
        if kind == Kind::Customers {
            out.push_str(PAIRS);
        }
        out.push('\n');
    }
}

/// Settings that make an error in a folder of another kind.
const ORDERS_ONLY: [&str; 5] = [
    "history",
    "live",
    "customer_prefix",
    "product_prefix",
    "customer_key",
];

const PAIRS: &str = r#"# [folder.columns]                         # over the preset; left: the file's header, without regard to case
# "E-Mail"     = "email"
# "VIP level"  = "metadata.vip_level"
# "Points"     = "metadata.points:number"  # types: string number boolean date datetime, each with [] for a list
# "Newsletter" = "consent.newsletter"
# "Gone"       = "deleted"                 # true 1 yes: the record is deleted
# "Notes"      = ""                        # ignored
# [folder.constants]                       # what each record gets
# "metadata.store" = "{store}"
"#;

fn line(out: &mut String, key: &Key, set: Option<String>) {
    let (mark, value) = match (set, key.worth) {
        (Some(value), _) => ("", value),
        (None, Worth::Default(value) | Worth::Absent(value) | Worth::Required(value)) => {
            ("# ", value.to_owned())
        }
    };
    let setting = format!("{mark}{} = {value}", key.name);
    let gap = COMMENT_COLUMN
        .saturating_sub(setting.chars().count())
        .max(1);
    let _ = writeln!(out, "{setting}{}# {}", " ".repeat(gap), key.doc);
}

/// Text as TOML writes it.
fn literal(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn text() -> String {
        commented(&Start {
            state_dir: Path::new("/tmp/a \"quoted\" place/state"),
            presets_dir: Path::new("/tmp/presets"),
            app_id_file: Path::new("/tmp/app-id"),
            app_token_file: Path::new("/tmp/app-token"),
            drop_dir: Path::new("/srv/drop"),
        })
    }

    #[test]
    fn it_is_a_configuration() {
        let config = parse("tillsync.toml", &text(), "h").unwrap();
        assert_eq!(config.state_dir, Path::new("/tmp/a \"quoted\" place/state"));
        let kinds: Vec<Kind> = config.folders.iter().map(|folder| folder.kind).collect();
        assert_eq!(
            kinds,
            [Kind::Customers, Kind::Products, Kind::Skus, Kind::Orders]
        );
        assert_eq!(config.folders[1].path, Path::new("/srv/drop/products"));
    }

    #[test]
    fn every_setting_stands_in_it_and_every_example_is_valid() {
        let text = text();
        for key in super::super::keys::KEYS
            .iter()
            .filter(|key| key.ty != Type::Pairs)
        {
            assert!(text.contains(&format!("{} = ", key.name)), "{}", key.name);
        }
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains('=') || rest.starts_with('[') => rest,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let problems = parse("tillsync.toml", &uncommented, "h").map(|_| ()).err();
        assert_eq!(problems, None, "{}", problems.as_ref().unwrap());
    }
}
