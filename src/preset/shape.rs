//! Shapes of keys: what a system's ids look like, as data.

/// Whether a text has a shape: `#` a digit, `@` a letter or digit, `?` any character, `+` one or
/// more of what stands before, `{n}` n of it; anything else is itself.
pub fn has_shape(text: &str, shape: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    matches(&chars, &atoms(shape))
}

#[derive(Clone, Copy)]
enum Atom {
    Digit,
    Alphanumeric,
    Any,
    Is(char),
    Many,
}

fn atoms(shape: &str) -> Vec<Atom> {
    let mut atoms = Vec::new();
    let mut rest = shape;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '#' => atoms.push(Atom::Digit),
            '@' => atoms.push(Atom::Alphanumeric),
            '?' => atoms.push(Atom::Any),
            '+' => atoms.push(Atom::Many),
            '{' => {
                let (count, behind) = rest.split_once('}').unwrap_or(("1", rest));
                rest = behind;
                if let Some(&atom) = atoms.last() {
                    let count: usize = count.parse().unwrap_or(1).clamp(1, 255);
                    atoms.extend(std::iter::repeat_n(atom, count - 1));
                }
            }
            c => atoms.push(Atom::Is(c)),
        }
    }
    atoms
}

fn matches(text: &[char], atoms: &[Atom]) -> bool {
    let Some((&atom, rest)) = atoms.split_first() else {
        return text.is_empty();
    };
    let fits = |c: char| match atom {
        Atom::Digit => c.is_ascii_digit(),
        Atom::Alphanumeric => c.is_ascii_alphanumeric(),
        Atom::Any => true,
        Atom::Is(wanted) => c == wanted,
        Atom::Many => c == '+',
    };
    match rest.split_first() {
        Some((Atom::Many, behind)) => {
            let run = text.iter().take_while(|&&c| fits(c)).count();
            (1..=run).rev().any(|n| matches(&text[n..], behind))
        }
        _ => text
            .split_first()
            .is_some_and(|(&c, behind)| fits(c) && matches(behind, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (text, shape, expected) in [
            ("zcrm_4876876000000211", "zcrm_#+", true),
            ("4876876000000211", "#+", true),
            ("4.87688E+18", "#+", false),
            ("0031U00000Jajao", "@{15}", true),
            ("0031U00000JajaoQAB", "@{18}", true),
            ("0031U00000Jajao", "@{18}", false),
            ("04-17", "##-##", true),
            ("1988-02-29", "##-##", false),
            ("", "#+", false),
        ] {
            assert_eq!(has_shape(text, shape), expected, "{text} {shape}");
        }
    }
}
