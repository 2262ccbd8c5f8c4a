//! Text is what the source's JSON said, and what may be shown of it is what XML allows.

use chancery::model::Text;

/// Checks one input: as UTF-16 that JSON escapes, and as bytes that claim to be text.
pub fn check(data: &[u8]) {
    let units: Vec<u16> = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    check_units(&units);
    if let Ok(text) = std::str::from_utf8(data) {
        check_units(&text.encode_utf16().collect::<Vec<_>>());
        assert_eq!(Text::from(text).as_str(), Some(text));
    }
    let any = Text::from_wtf8(data);
    let shown = any.for_xml();
    assert!(shown.shown.chars().all(xml_allows));
    assert_eq!(shown.replaced == 0, shown.shown.as_bytes() == data);
    assert_eq!(any.as_bytes(), data);
}

fn check_units(units: &[u16]) {
    let json = json(units);
    let text: Text<'_> = serde_json::from_str(&json).expect("any escaped text is JSON");
    assert_eq!(text.as_bytes(), wtf8(units));
    let shown = text.for_xml();
    let expected: Vec<char> = code_points(units)
        .map(|point| char::from_u32(point).filter(|&c| xml_allows(c)).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    assert_eq!(shown.shown.chars().collect::<Vec<_>>(), expected);
    let forbidden = code_points(units).filter(|&point| !char::from_u32(point).is_some_and(xml_allows)).count();
    assert_eq!(shown.replaced, forbidden as u64);
}

/// A JSON string with every unit escaped.
pub fn json(units: &[u16]) -> String {
    units.iter().fold(String::from("\""), |json, unit| json + &format!("\\u{unit:04x}")) + "\""
}

/// The code points of UTF-16, unpaired surrogates among them.
fn code_points(units: &[u16]) -> impl Iterator<Item = u32> {
    char::decode_utf16(units.iter().copied()).map(|point| match point {
        Ok(c) => u32::from(c),
        Err(error) => u32::from(error.unpaired_surrogate()),
    })
}

/// UTF-8, with unpaired surrogates in three bytes each.
pub fn wtf8(units: &[u16]) -> Vec<u8> {
    let mut out = Vec::new();
    for point in code_points(units) {
        match char::from_u32(point) {
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                out.extend([0xE0 | (point >> 12) as u8, 0x80 | (point >> 6 & 0x3F) as u8, 0x80 | (point & 0x3F) as u8])
            }
        }
    }
    out
}

/// XML 1.0, production `Char`.
fn xml_allows(c: char) -> bool {
    !matches!(u32::from(c), 0..=8 | 0xB | 0xC | 0xE..=0x1F | 0xFFFE | 0xFFFF)
}
