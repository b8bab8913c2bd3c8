//! Numbers as conditions compare them: integers exactly, others as 64-bit floats. Knows no fields.

use std::cmp::Ordering;

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    integer: Option<i128>,
    float: f64,
}

impl Number {
    /// Reads a decimal number with an optional sign, fraction and exponent. Words such as `inf` are none.
    pub(super) fn parse(text: &str) -> Option<Number> {
        let text = text.trim();
        // Also keeps the cost of a long text that is no number at one byte.
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
            return None;
        }
        if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
            return None;
        }
        let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
        Some(Number { integer: text.parse().ok(), float })
    }

    /// The order of two numbers.
    pub(super) fn compare(self, other: Number) -> Ordering {
        match (self.integer, other.integer) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => self.float.partial_cmp(&other.float).expect("both are finite"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Number;
    use std::cmp::Ordering;

    #[test]
    fn only_finite_decimal_numbers_are_numbers() {
        for text in ["5", "-1", "+2", ".5", "1e3", " 7 ", "0.25", "12345678901234567890123"] {
            assert!(Number::parse(text).is_some(), "{text}");
        }
        for text in ["", "inf", "nan", "1e999", "0x10", "5 %", "1_000", "-", "1.2.3", "٣"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        let number = |text| Number::parse(text).expect("a number");
        assert_eq!(number("9007199254740993").compare(number("9007199254740992")), Ordering::Greater);
        assert_eq!(number("22.0").compare(number("22")), Ordering::Equal);
        assert_eq!(number("-3").compare(number("2.5")), Ordering::Less);
    }
}
