//! Who works at the simulated firm: traders, sales, operations, a bot, and counterparties from outside.

use super::dice::Dice;

const FIRM: &str = "Halden Brook Trading";
const FIRM_DOMAIN: &str = "haldenbrook.example";
/// Companies whose people are guests in some rooms.
const COUNTERPARTIES: &[(&str, &str)] = &[
    ("Meridian Square Capital", "meridian-square.example"),
    ("Kestrel & Vane Brokers", "kestrelvane.example"),
    ("Óbuda Energia Zrt.", "obuda-energia.example"),
];

/// Given names with the plain letters that their addresses use.
const GIVEN: &[(&str, &str)] = &[
    ("Ada", "ada"),
    ("Björn", "bjorn"),
    ("Chiamaka", "chiamaka"),
    ("Dmitri", "dmitri"),
    ("Élodie", "elodie"),
    ("Farah", "farah"),
    ("Grażyna", "grazyna"),
    ("Hiroshi", "hiroshi"),
    ("Ines", "ines"),
    ("Jürgen", "juergen"),
    ("Kavya", "kavya"),
    ("Léa", "lea"),
    ("Malik", "malik"),
    ("Niamh", "niamh"),
    ("Óscar", "oscar"),
    ("Priya", "priya"),
    ("Quentin", "quentin"),
    ("Renske", "renske"),
    ("Søren", "soren"),
    ("Tomáš", "tomas"),
    ("Uma", "uma"),
    ("Vasilis", "vasilis"),
    ("Wen", "wen"),
    ("Xiomara", "xiomara"),
    ("Yusuf", "yusuf"),
    ("Zofia", "zofia"),
];

const FAMILY: &[(&str, &str)] = &[
    ("Lindqvist", "lindqvist"),
    ("Okafor", "okafor"),
    ("O'Rourke", "orourke"),
    ("Müller-Hahn", "mueller-hahn"),
    ("Papadakis", "papadakis"),
    ("Tanaka 田中", "tanaka"),
    ("da Silva", "dasilva"),
    ("Nguyễn", "nguyen"),
    ("Petrova", "petrova"),
    ("Haddad", "haddad"),
    ("van der Meer", "vandermeer"),
    ("Castellanos", "castellanos"),
    ("Whitcombe", "whitcombe"),
    ("Szabó", "szabo"),
    ("Iyer", "iyer"),
    ("Brandt", "brandt"),
    ("Moreau", "moreau"),
];

/// A person as the chat server knows them.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// The principal number.
    pub(super) number: u64,
    /// The address without its scheme.
    pub(super) address: String,
    /// Display name; may change during the day.
    pub(super) name: String,
    /// The company.
    pub(super) company: &'static str,
    /// Employee, guest or program.
    pub(super) standing: Standing,
}

/// What a person is to the firm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Employee,
    Guest,
    Bot,
}

/// Everybody, employees first, then guests, then the bot.
pub(super) fn cast(people: usize, dice: &mut Dice) -> Vec<Person> {
    let guests = people / 10;
    let mut cast = Vec::with_capacity(people + 1);
    let (given_from, family_from) = (dice.below(GIVEN.len()), dice.below(FAMILY.len()));
    for index in 0..people {
        let guest = index >= people - guests;
        let (company, domain) = match guest {
            true => COUNTERPARTIES[index % COUNTERPARTIES.len()],
            false => (FIRM, FIRM_DOMAIN),
        };
        // The table lengths share no divisor, so every pair comes before one comes again.
        let (given, given_plain) = GIVEN[(index + given_from) % GIVEN.len()];
        let (family, family_plain) = FAMILY[(index + family_from) % FAMILY.len()];
        let round = index / (GIVEN.len() * FAMILY.len());
        let nth = if round == 0 { String::new() } else { (round + 1).to_string() };
        cast.push(Person {
            number: 1000 + index as u64,
            address: format!("{given_plain}.{family_plain}{nth}@{domain}"),
            name: format!("{given} {family}{}{nth}", if round == 0 { "" } else { " " }),
            company,
            standing: if guest { Standing::Guest } else { Standing::Employee },
        });
    }
    cast.push(Person {
        number: 900,
        address: format!("fillbot@{FIRM_DOMAIN}"),
        name: "FillBot 🤖".into(),
        company: FIRM,
        standing: Standing::Bot,
    });
    cast
}
