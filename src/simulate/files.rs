//! The small files that people pass around: blotters, notes, orders, a picture.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::dice::Dice;
use super::event_json::{FileJson, NativeId};
use super::talk;

/// A new file, ready to be uploaded.
pub(super) fn small_file(dice: &mut Dice, id: NativeId) -> FileJson {
    let number = dice.between(1, 999);
    let (name, media_type, bytes) = match dice.below(10) {
        0..4 => (format!("blotter {number}.csv"), "text/csv", blotter(dice).into_bytes()),
        4..6 => (format!("Gesprächsnotiz & Größen {number}.txt"), "text/plain", note(dice).into_bytes()),
        6..8 => (format!("orders-{number}.json"), "application/json", orders(dice).into_bytes()),
        8 => (format!("収支 {number}.bin"), "application/octet-stream", noise(dice)),
        _ => (format!("screenshot \"{number}\".bmp"), "image/bmp", picture(dice)),
    };
    FileJson {
        id,
        name,
        media_type,
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(&bytes)),
        inline: Some(STANDARD.encode(&bytes)),
    }
}

fn blotter(dice: &mut Dice) -> String {
    let mut out = String::from("side;instrument;price;note\r\n");
    for _ in 0..dice.between(3, 9) {
        let side = if dice.chance(0.5) { "B" } else { "S" };
        let words = talk::search(dice).replace('"', "\"\"");
        out.push_str(&format!("{side};\"{words}\";{}.{:02};\r\n", dice.between(10, 900), dice.below(100)));
    }
    out
}

fn note(dice: &mut Dice) -> String {
    (0..dice.between(2, 5)).map(|_| talk::reply(dice) + "\n").collect()
}

fn orders(dice: &mut Dice) -> String {
    let orders: Vec<_> = (0..dice.between(2, 9))
        .map(
            |line| serde_json::json!({ "line": line, "quantity": 5 * dice.between(1, 90), "text": talk::search(dice) }),
        )
        .collect();
    serde_json::Value::Array(orders).to_string()
}

fn noise(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = vec![0; dice.between(1, 700)];
    dice.fill(&mut bytes);
    bytes
}

/// A picture of 8 by 8 pixels: BMP, 24 bits, no compression.
fn picture(dice: &mut Dice) -> Vec<u8> {
    const SIDE: u32 = 8;
    const HEADER: u32 = 54;
    let pixels = SIDE * SIDE * 3;
    let mut bytes = Vec::with_capacity((HEADER + pixels) as usize);
    bytes.extend_from_slice(b"BM");
    for word in [HEADER + pixels, 0, HEADER, 40, SIDE, SIDE, 1 | (24 << 16), 0, pixels, 2835, 2835, 0, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let mut noise = vec![0; pixels as usize];
    dice.fill(&mut noise);
    bytes.extend_from_slice(&noise);
    bytes
}
