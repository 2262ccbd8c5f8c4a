//! Spans and sizes: what is printed is read back as the same value, and nonsense is refused.

use proptest::prelude::*;

use super::super::{ByteSize, CollectedWhen, Span};

proptest! {
    #[test]
    fn every_span_is_read_back(millis in 0..=u64::MAX / 2) {
        let span = Span::from_millis(millis);
        prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        let when = CollectedWhen::After(span);
        prop_assert_eq!(String::from(when).parse::<CollectedWhen>(), Ok(when));
    }

    #[test]
    fn every_size_is_read_back(bytes: u64, shift in 0_u32..40) {
        for bytes in [bytes, bytes >> 24 << shift.min(24), 1_u64 << shift, 1_000_u64.pow(shift % 4)] {
            let size = ByteSize::new(bytes);
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }
    }

    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC{0,20}|[0-9dhms ]{0,30}|[0-9]{0,25}[KMGiB]{0,3}") {
        if let Ok(span) = text.parse::<Span>() {
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
        if let Ok(size) = text.parse::<ByteSize>() {
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }
    }
}

#[test]
fn spans_mean_what_they_say() {
    let pairs = [("90s", 90_000), ("1h30m", 5_400_000), ("30d", 2_592_000_000), ("1m500ms", 60_500), ("0s", 0)];
    for (text, millis) in pairs {
        assert_eq!(text.parse(), Ok(Span::from_millis(millis)), "{text}");
    }
    for text in ["", "15", "m", "-1m", "1.5h", "1 m", "1w", "99999999999999999999s", "600000000000d", "١m"] {
        assert!(text.parse::<Span>().is_err(), "{text:?}");
    }
}

#[test]
fn sizes_mean_what_they_say() {
    let pairs = [("64KiB", 65_536), ("50MB", 50_000_000), ("1 GiB", 1 << 30), ("17", 17), ("0B", 0)];
    for (text, bytes) in pairs {
        assert_eq!(text.parse(), Ok(ByteSize::new(bytes)), "{text}");
    }
    for text in ["", "KB", "-1B", "1.5MB", "1TB", "1kb", "99999999999999999999", "99999999999GiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
    }
}
