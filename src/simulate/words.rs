//! The vocabulary of the simulated firm: instruments, sentences, small talk in several scripts.
//!
//! In a sentence, `{i}` stands for an instrument, `{p}` for a price, `{s}` for a size, `{n}` for a small number
//! and `{t}` for a time of day.

/// Instruments with a typical price in cents and the price's spread in cents.
pub(super) const INSTRUMENTS: &[(&str, usize, usize)] = &[
    ("Brent Jan", 8410, 160),
    ("WTI Feb", 7985, 150),
    ("TTF Mar-26", 3142, 240),
    ("EUA Dec", 6725, 130),
    ("Bund Dec", 13141, 90),
    ("Schatz Mar", 10562, 30),
    ("EUR/HUF 3M fwd", 39542, 260),
    ("USD/JPY", 15130, 110),
    ("Cal-27 baseload DE", 7215, 210),
    ("copper 3M", 92140, 1800),
    ("gold spot", 265330, 900),
    ("Euro Stoxx 4900 puts", 8820, 420),
    ("HBT 5.25% 2031", 9987, 80),
    ("Kerosene crack Q2", 2135, 120),
];

/// Units in which sizes are said.
pub(super) const SIZES: &[&str] = &["lots", "mm", "k therms", "MW", "contracts", "bbl", "tonnes", "mio €"];

/// What is said at a desk.
pub(super) const DESK: &[&str] = &[
    "where is {i}? client asks for {s}",
    "{i} {p} bid, offered two ticks higher, {s} up",
    "I can do {p} in {s}, firm for a minute",
    "you're done: I sell {s} of {i} at {p}. thanks",
    "filled {s} {i} @ {p}, the rest is working",
    "pull my {p} offer in {i} please",
    "lifted. leave the other {s} on the follow at {p}",
    "anyone axed in {i}? we are better sellers down to {p}",
    "mid is {p} for me, but I would not show it in more than {s}",
    "curve is flatter after the auction, {i} back to {p}",
    "risk says we are {n}% over the {i} limit until {t}, working on it",
    "trade ticket for {i} still shows {p}, should be booked against the hedge book",
    "counterparty confirms {s} at {p}, value spot, ref HB-{n}{n}{n}",
    "vol is bid again; {i} straddle went at {p} twice in {n} minutes",
    "can someone check the fixing? screen says {p}, broker says lower",
    "no interest under {p}. call me if {i} trades through it",
    "margin call came in at {t}, nothing dramatic",
    "is the {t} call still on? I only have {n} minutes",
    "we roll {s} of {i} tomorrow, please line up two brokers",
    "client wants a two-way in {i}, {s} each side, and a decent one this time",
    "the switch is worth {n} ticks at best, not the figure in the mail",
    "stop at {p} got triggered, slippage was {n} ticks",
    "auction result: {i} cleared at {p}, covered {n}x",
    "do not quote {i} before the numbers at {t}",
    "happy to leave it at {p} overnight if compliance has no issue with the size",
];

/// What is said to a counterparty, and by it.
pub(super) const OUTSIDE: &[&str] = &[
    "good morning, could you show us a price in {i} for {s} please?",
    "we can deal at {p} subject to the usual confirmation",
    "thanks, agreed: {s} {i} at {p}. confirmation follows by mail",
    "please send the updated settlement instructions before {t}",
    "our legal team returned the ISDA draft with {n} comments",
    "noted, we pass on this one but come back with {i} any time",
];

/// Talk that has nothing to do with a market.
pub(super) const SMALL_TALK: &[&str] = &[
    "coffee? ☕",
    "lunch at {t}, the noodle place has a table for {n}",
    "who took the charger from the meeting room 🔌",
    "happy birthday!! 🎂🎉",
    "back in {n}",
    "train is late again, dial me in please",
    "👍",
    "lol",
    "brb",
    "thank you 🙏🏽",
    "my daughter drew this for the desk 👩‍👩‍👧 — it is now policy",
    "the window blinds are possessed. they moved at {t} on their own",
    "ok",
    "nice weekend everyone 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇩🇰 🇯🇵",
    "five-a-side needs {n} more people, no skill required (evidently)",
    "printer on the third floor eats paper, use the other one",
];

/// The same market and the same coffee in other languages and scripts.
pub(super) const WORLD: &[&str] = &[
    "Guten Morgen! {i} steht bei {p}, Größe {s} – wer übernimmt?",
    "Schöne Grüße aus dem Homeoffice, die Leitung hält (noch)",
    "on est à {p} sur {i}, ça te va ? j'ai {s} à placer avant {t}",
    "déjà fermé côté Paris, à demain 😀",
    "¿puedes confirmar {s} a {p}? el cliente espera",
    "mañana sin falta. gracias, ¡qué rápido!",
    "proszę o wycenę {i}, {s}, źródło: giełda",
    "Доброе утро, по {i} вижу {p}. берём {s}?",
    "Ευχαριστώ, κλείνουμε στο {p} πριν από τις {t}",
    "{i} は {p} で約定しました。残りは {s} です",
    "早上好,{i} 报价 {p},数量 {s},请确认",
    "확인했습니다. {t} 전에 다시 연락드릴게요",
    "صباح الخير، السعر {p} والكمية {s}، هل نؤكد؟",
    "בוקר טוב, {i} ב-{p}, יש לנו {s}",
    "नमस्ते, {i} का भाव {p} है, कृपया {t} तक पुष्टि करें",
    "ขอราคา {i} หน่อยครับ {s}",
    "İyi günler, {i} için {p} uygun mu? ığdır değil İstanbul",
    "đã khớp {s} {i} giá {p}, cảm ơn nhé",
];

/// Text that careless software breaks on: markup, quotes, entities, tabs, controls, odd spaces.
pub(super) const AWKWARD: &[&str] = &[
    "<Order side=\"BUY\" qty='{n}'><Px>{p}</Px></Order>",
    "the feed sends ]]> in the middle of a field again, see R&D ticket #{n}",
    "he said \"no\" & then 'maybe' & then \"fine, {p}\" – in writing <3",
    "formula is =IF(A{n}<B{n},\"sell\",\"buy & hold\") and nobody knows why",
    "escaped twice on their side: &amp;lt;b&amp;gt;{p}&amp;lt;/b&amp;gt;",
    "path is \\\\fs01\\desk\\blotter\\{n}.csv, not C:\\temp",
    "<!-- do not quote --> {i} {p} <![CDATA[ internal ]]",
    "{i}\t{p}\t{s}\t{t}",
    "no-break\u{a0}space, zero\u{200b}width, soft\u{ad}hyphen, and a \u{202e}reversed\u{202c} word",
    "pasted from the terminal:\u{b}{i} {p}\u{c}next page",
    "%s %d {p} ${HOME} {{n}} `id` ; -- drop table",
    "line separator\u{2028}paragraph separator\u{2029}done",
    "combining: e\u{301} a\u{308} n\u{303} vs é ä ñ",
    "math: 𝛥 = 𝜕V/𝜕S ≈ 0.{n}, ∑ PnL ≥ −{n} k€",
];

/// Topics of rooms.
pub(super) const TOPICS: &[&str] = &[
    "Auction today {t} – no quotes from ten minutes before",
    "Limits raised to {s} per name until month end",
    "Morning call {t}, bridge in the calendar",
    "{i}: house view neutral, range around {p}",
    "Holiday cover: see the rota <intranet/rota?team=all&week={n}>",
];

/// What people search for.
pub(super) const SEARCHES: &[&str] = &["{i}", "ISDA draft", "\"{p}\"", "settlement instructions", "{s}", "Größe {n}"];

/// Emoji that people react with.
pub(super) const REACTIONS: &[&str] = &["👍", "✅", "😂", "👀", "🙏🏽", "🚀", "❤️", ":eyes:", "💸"];

/// Names of desk rooms.
pub(super) const DESKS: &[&str] = &[
    "Morning Meeting",
    "Rates Desk",
    "Gas & Power",
    "FX Spot and Forwards",
    "Oil <physical>",
    "Equity Derivatives",
    "Operations & Settlement",
    "Risk \"Watch\"",
    "Research – Daily Notes",
    "Carbon / EUA",
    "IT Support",
];

/// Names of groups.
pub(super) const GROUPS: &[&str] = &[
    "Project Aurora",
    "Onboarding: Meridian Square",
    "Year-end roll",
    "ISDA negotiation",
    "Five-a-side ⚽",
    "Outage bridge",
    "東京 hand-over",
];
