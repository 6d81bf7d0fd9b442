//! The page of figures: written as markdown, and compared with the one that is checked in.

use crate::measure::Cost;
use protocol::Amount;
use std::{collections::BTreeMap, fmt::Write};

/// What a figure counts. Each kind may differ from the page by so much before that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Picoseconds. Two pairs of signatures never take the same time, and other code gives the arbiter another address, so that the
    /// same test signs other bytes: see the table of signatures.
    Time,
    /// Bytes of code, or of proof, which holds the code. They differ a little from one compiler to the next.
    Code,
    /// Bytes that are counted out. Never different by chance.
    Bytes,
    /// Coins paid as a fee: mostly time.
    Fee,
    /// Coins laid down for storage, down to a millionth. Never different by chance.
    Deposit,
    /// Coins laid down for storing code.
    CodeDeposit,
}

/// Whether the code was built by the compiler and the optimiser that the page names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tools {
    Same,
    /// Then its size says less, and what is cheaper by it is not told.
    Other,
}

impl Unit {
    /// How many thousandths of the page's figure are within the noise.
    const fn tolerance(self, tools: Tools) -> u128 {
        match (self, tools) {
            (Self::Time | Self::Fee, Tools::Same) => 20,
            (Self::Code | Self::CodeDeposit, Tools::Same) => 2,
            (Self::Time | Self::Fee | Self::Code | Self::CodeDeposit, Tools::Other) => 50,
            (Self::Bytes | Self::Deposit, _) => 0,
        }
    }

    const fn is_coins(self) -> bool {
        matches!(self, Self::Fee | Self::Deposit | Self::CodeDeposit)
    }
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Not compared.
    Text(String),
    Figure {
        value: u128,
        unit: Unit,
    },
}

/// Coins are told in millionths.
const MICRO: Amount = 1_000_000;

impl Cell {
    pub(crate) fn new(value: impl Into<u128>, unit: Unit) -> Self {
        Self::Figure { value: value.into(), unit }
    }

    pub(crate) fn coins(amount: Amount, unit: Unit) -> Self {
        Self::new((amount + MICRO / 2) / MICRO, unit)
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn render(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Figure { value, unit } if unit.is_coins() => {
                format!("{}.{:06}", value / 1_000_000, value % 1_000_000)
            }
            Self::Figure { value, .. } => thousands(*value),
        }
    }
}

/// A table whose rows are known by their first column.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<(String, Vec<Cell>)>,
}

/// The columns of a [`Cost`].
pub(crate) const COST: [&str; 6] = [
    "ref_time (ps)",
    "proof size (bytes)",
    "extrinsic (bytes)",
    "fee (units)",
    "deposit taken (units)",
    "deposit returned (units)",
];

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// A table of costs.
    pub(crate) fn of_costs(first: &'static str) -> Self {
        Self::new(&[&[first][..], &COST].concat())
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, cells: Vec<Cell>) {
        let name = name.into();
        assert_eq!(cells.len() + 1, self.head.len(), "{name}");
        assert!(self.rows.iter().all(|(other, _)| *other != name), "{name} is measured twice");
        self.rows.push((name, cells));
    }
}

impl Cost {
    pub(crate) fn cells(&self) -> Vec<Cell> {
        self.cells_in(Unit::Bytes, Unit::Deposit)
    }

    /// Of a transaction that carries code.
    pub(crate) fn cells_of_upload(&self) -> Vec<Cell> {
        self.cells_in(Unit::Code, Unit::CodeDeposit)
    }

    /// Of what is no transaction.
    pub(crate) fn cells_of_dry_run(&self) -> Vec<Cell> {
        let mut cells = self.cells();
        for cell in cells.iter_mut().skip(2) {
            *cell = Cell::text("\u{2013}");
        }
        cells
    }

    fn cells_in(&self, length: Unit, deposit: Unit) -> Vec<Cell> {
        vec![
            Cell::new(self.ref_time, Unit::Time),
            Cell::new(self.proof_size, Unit::Code),
            Cell::new(self.length, length),
            Cell::coins(self.fee, Unit::Fee),
            Cell::coins(self.taken, deposit),
            Cell::coins(self.returned, deposit),
        ]
    }
}

/// Headings, paragraphs and tables, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Heading(String),
    Text(String),
    Table(Table),
}

impl Page {
    pub(crate) fn heading(&mut self, level: usize, heading: &str) {
        self.0.push(Part::Heading(format!("{} {heading}", "#".repeat(level))));
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.0.push(Part::Text(text.into()));
    }

    /// Everything in `part`, after what is here.
    pub(crate) fn append(&mut self, part: Self) {
        self.0.extend(part.0);
    }

    /// One table for each heading, so that a figure has a name.
    pub(crate) fn table(&mut self, table: Table) {
        self.0.push(Part::Table(table));
    }

    /// As markdown.
    pub(crate) fn render(&self) -> String {
        let mut page = String::new();
        for part in &self.0 {
            let text = match part {
                Part::Heading(text) | Part::Text(text) => text.clone(),
                Part::Table(table) => table.render(),
            };
            writeln!(page, "{}\n", text.trim_end()).expect("memory takes it");
        }
        page.trim_end().to_owned() + "\n"
    }

    /// Everything in which this page differs from the one checked in beyond the noise, as sentences.
    pub(crate) fn compare(&self, checked_in: &str, tools: Tools) -> Vec<String> {
        let mut known = figures(checked_in);
        let mut findings = Vec::new();
        let mut heading = "";
        for part in &self.0 {
            match part {
                Part::Heading(text) => heading = text,
                Part::Text(_) => {}
                Part::Table(table) => {
                    for (name, cells) in &table.rows {
                        let old = known.remove(&(heading.to_owned(), name.clone()));
                        let place = format!("{}: {name}", heading.trim_start_matches(['#', ' ']));
                        findings.extend(compare_row(&table.head, &place, cells, old.as_deref(), tools));
                    }
                }
            }
        }
        let gone =
            |(heading, name): (String, _)| format!("{}: {name}: is gone", heading.trim_start_matches(['#', ' ']));
        findings.extend(known.into_keys().map(gone));
        findings
    }
}

impl Table {
    fn render(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<_> = self.head.iter().map(|&head| head.to_owned()).collect();
        let mut table = line(&head) + &"|---".repeat(head.len()) + "|\n";
        for (name, cells) in &self.rows {
            let cells: Vec<_> = std::iter::once(name.clone()).chain(cells.iter().map(Cell::render)).collect();
            table += &line(&cells);
        }
        table
    }
}

fn compare_row(head: &[&str], place: &str, cells: &[Cell], old: Option<&[String]>, tools: Tools) -> Vec<String> {
    let Some(old) = old.filter(|old| old.len() == cells.len()) else {
        return vec![format!("{place}: is not in the page")];
    };
    let mut findings = Vec::new();
    for ((column, cell), old) in head.iter().skip(1).zip(cells).zip(old) {
        let Cell::Figure { value, unit } = cell else { continue };
        let Ok(before) = old.replace([',', '.'], "").parse::<u128>() else {
            findings.push(format!("{place}: {column}: `{old}` is no figure"));
            continue;
        };
        // What is rounded may round the other way.
        let noise = before * unit.tolerance(tools) / 1_000 + u128::from(unit.is_coins());
        if *value > before + noise {
            findings.push(format!("{place}: {column}: rose from {old} to {}", cell.render()));
        } else if tools == Tools::Same && *value + noise < before {
            findings.push(format!("{place}: {column}: fell from {old} to {}: well done, record it", cell.render()));
        }
    }
    findings
}

/// The cells of every row of every table, by heading and first column.
fn figures(page: &str) -> BTreeMap<(String, String), Vec<String>> {
    let mut heading = "";
    let mut found = BTreeMap::new();
    let mut is_head = true;
    for line in page.lines() {
        if line.starts_with('#') {
            heading = line;
        }
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            // A line of dashes ends the head.
            is_head = !line.starts_with("|---");
            continue;
        };
        let mut cells = row.split(" | ").map(str::to_owned);
        if let (false, Some(name)) = (is_head, cells.next()) {
            let _none = found.insert((heading.to_owned(), name), cells.collect());
        }
    }
    found
}

/// A number with its thousands apart.
pub(crate) fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(time: u64, bytes: u32, deposit: Amount) -> Page {
        let mut table = Table::new(&["what", "time", "bytes", "deposit", "by"]);
        let cells = vec![
            Cell::new(time, Unit::Time),
            Cell::new(bytes, Unit::Bytes),
            Cell::coins(deposit, Unit::Deposit),
            Cell::text("somebody"),
        ];
        table.row("a call", cells);
        let mut page = Page::default();
        page.heading(2, "Calls");
        page.text("Some words.");
        page.table(table);
        page
    }

    const UNIT: Amount = 1_000_000_000_000;

    #[test]
    fn a_page_is_as_it_was_written_down_noise_apart() {
        let written = page(5_000_000, 4_321, UNIT / 10).render();
        assert!(written.contains("| a call | 5,000,000 | 4,321 | 0.100000 | somebody |"), "{written}");
        assert_eq!(page(5_000_000, 4_321, UNIT / 10).compare(&written, Tools::Same), Vec::<String>::new());
        assert_eq!(page(5_100_000, 4_321, UNIT / 10 + 1).compare(&written, Tools::Same), Vec::<String>::new());
    }

    #[test]
    fn what_rises_or_falls_is_told_by_name_with_both_numbers() {
        let written = page(5_000_000, 4_321, UNIT / 10).render();
        let findings = page(5_100_001, 4_322, UNIT / 10 - UNIT / 100_000).compare(&written, Tools::Same);
        let expected = [
            "Calls: a call: time: rose from 5,000,000 to 5,100,001",
            "Calls: a call: bytes: rose from 4,321 to 4,322",
            "Calls: a call: deposit: fell from 0.100000 to 0.099990: well done, record it",
        ];
        assert_eq!(findings, expected);
    }

    #[test]
    fn with_other_tools_more_is_noise_and_nothing_falls() {
        let written = page(5_000_000, 4_321, UNIT / 10).render();
        let findings = |time| page(time, 4_321, UNIT / 10).compare(&written, Tools::Other);
        assert_eq!((findings(5_250_000), findings(1)), (Vec::new(), Vec::new()));
        assert_eq!(findings(5_250_001), ["Calls: a call: time: rose from 5,000,000 to 5,250,001"]);
    }

    #[test]
    fn a_row_too_many_or_too_few_is_told() {
        let written = page(1, 2, 3).render();
        assert_eq!(page(1, 2, 3).compare("", Tools::Same), ["Calls: a call: is not in the page"]);
        assert_eq!(Page::default().compare(&written, Tools::Same), ["Calls: a call: is gone"]);
    }
}
