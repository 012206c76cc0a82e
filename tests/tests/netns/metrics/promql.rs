//! What an expression of `PromQL` reads: its selectors and the labels that it groups by.
//!
//! A parser of the part of the language that the dashboard and the alerts use; whatever else there is in an expression
//! is an error. The crate `promql-parser` needs `bincode`, which is not maintained, and 35 crates more.

use std::iter::Peekable;

/// Functions, aggregations and words that take labels, as far as they are used.
const FUNCTIONS: &[&str] = &["absent", "changes", "increase", "rate", "time", "vector"];
const AGGREGATIONS: &[&str] = &["avg", "count", "max", "min", "sum", "topk"];
const LABEL_WORDS: &[&str] = &["on", "ignoring", "group_left", "group_right"];

/// A selector: the name of a metric, and matchers of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) name: String,
    /// Label, operator and value.
    pub(super) matchers: Vec<(String, String, String)>,
    /// Whether it selects a range.
    pub(super) is_range: bool,
}

/// What an expression reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) selectors: Vec<Selector>,
    /// Labels of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`.
    pub(super) labels: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name or a word.
    Word(String),
    /// A number, or a duration.
    Number(String),
    Text(String),
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: &[&str] = &[
    "==", "!=", ">=", "<=", "=~", "!~", "(", ")", "{", "}", "[", "]", ",", "=", ">", "<", "+", "-",
    "*", "/",
];
const OPERATORS: &[&str] = &["==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/"];

/// Reads an expression.
pub(super) fn parse(expression: &str) -> Result<Reads, String> {
    let tokens = tokens(expression)?;
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        reads: Reads::default(),
    };
    let parsed = parser.expression().and_then(|()| match parser.next() {
        None => Ok(()),
        Some(token) => Err(format!("{token:?} behind the end")),
    });
    parsed.map_err(|error| format!("{error}: {expression}"))?;
    Ok(parser.reads)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_part = |of: char| of.is_ascii_alphanumeric() || matches!(of, '_' | ':' | '.');
        let (token, length) = if first == '"' {
            let end = rest[1..].find('"').ok_or("a text has no end")? + 1;
            let value = &rest[1..end];
            if value.contains('\\') {
                return Err(format!("an escape in {value:?}"));
            }
            (Token::Text(value.to_owned()), end + 1)
        } else if is_part(first) {
            let end = rest.find(|of| !is_part(of)).unwrap_or(rest.len());
            let word = rest[..end].to_owned();
            let token = if first.is_ascii_digit() {
                Token::Number(word)
            } else {
                Token::Word(word)
            };
            (token, end)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("{first:?} is no sign"))?;
            (Token::Sign(sign), sign.len())
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser<I: Iterator<Item = Token>> {
    tokens: Peekable<I>,
    reads: Reads,
}

impl<I: Iterator<Item = Token>> Parser<I> {
    fn next(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        self.tokens.next_if_eq(&Token::Sign(sign)).is_some()
    }

    fn takes_word(&mut self, words: &[&str]) -> Option<String> {
        let is_one = |token: &Token| matches!(token, Token::Word(word) if words.contains(&&**word));
        match self.tokens.next_if(is_one) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        match self.next() {
            Some(Token::Sign(of)) if of == sign => Ok(()),
            other => Err(format!("{other:?} in the place of {sign:?}")),
        }
    }

    /// Operands with operators between them; precedence changes nothing of what is read.
    fn expression(&mut self) -> Result<(), String> {
        self.operand()?;
        loop {
            let is_operator =
                |token: &Token| matches!(token, Token::Sign(sign) if OPERATORS.contains(sign));
            if self.tokens.next_if(is_operator).is_none()
                && self.takes_word(&["and", "or", "unless"]).is_none()
            {
                return Ok(());
            }
            let _bool = self.takes_word(&["bool"]);
            while self.takes_word(LABEL_WORDS).is_some() {
                self.labels()?;
            }
            self.operand()?;
        }
    }

    /// Names of labels, which the expression groups by.
    fn labels(&mut self) -> Result<(), String> {
        self.expect("(")?;
        while !self.takes(")") {
            match self.next() {
                Some(Token::Word(label)) => self.reads.labels.push(label),
                other => return Err(format!("{other:?} is no label")),
            }
            let _comma = self.takes(",");
        }
        Ok(())
    }

    fn arguments(&mut self) -> Result<(), String> {
        self.expect("(")?;
        while !self.takes(")") {
            self.expression()?;
            let _comma = self.takes(",");
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<(), String> {
        match self.next() {
            Some(Token::Number(number)) => {
                let parsed: Result<f64, _> = number.parse();
                parsed
                    .map(drop)
                    .map_err(|_| format!("{number} is no number"))
            }
            Some(Token::Sign("(")) => {
                self.expression()?;
                self.expect(")")
            }
            Some(Token::Word(word)) if AGGREGATIONS.contains(&&*word) => {
                if self.takes_word(&["by", "without"]).is_some() {
                    self.labels()?;
                }
                self.arguments()
            }
            Some(Token::Word(word)) if self.tokens.peek() == Some(&Token::Sign("(")) => {
                if !FUNCTIONS.contains(&&*word) {
                    return Err(format!("{word} is no function that is used here"));
                }
                self.arguments()
            }
            Some(Token::Word(name)) => self.selector(name),
            other => Err(format!("{other:?} is no operand")),
        }
    }

    fn selector(&mut self, name: String) -> Result<(), String> {
        let mut matchers = Vec::new();
        if self.takes("{") {
            while !self.takes("}") {
                matchers.push(match (self.next(), self.next(), self.next()) {
                    (
                        Some(Token::Word(label)),
                        Some(Token::Sign(operator @ ("=" | "!=" | "=~" | "!~"))),
                        Some(Token::Text(value)),
                    ) => (label, operator.to_owned(), value),
                    other => return Err(format!("{other:?} is no matcher")),
                });
                let _comma = self.takes(",");
            }
        }
        let is_range = self.takes("[");
        if is_range {
            match self.next() {
                Some(Token::Number(duration)) if duration.ends_with(['s', 'm', 'h', 'd']) => {}
                other => return Err(format!("{other:?} is no duration")),
            }
            self.expect("]")?;
        }
        self.reads.selectors.push(Selector {
            name,
            matchers,
            is_range,
        });
        Ok(())
    }
}

#[test]
fn what_an_expression_reads_is_found() {
    let text = "sum by (a, b) (rate(x_total{c=\"d\", e=~\"f|g\"}[5m])) / on (h) group_left () y > 0.5 or vector(0)";
    let reads = parse(text).unwrap();
    let matcher = |label: &str, operator: &str, value: &str| {
        (label.to_owned(), operator.to_owned(), value.to_owned())
    };
    let selector = |name: &str, matchers, is_range| Selector {
        name: name.to_owned(),
        matchers,
        is_range,
    };
    let matchers = vec![matcher("c", "=", "d"), matcher("e", "=~", "f|g")];
    let expected = [
        selector("x_total", matchers, true),
        selector("y", Vec::new(), false),
    ];
    assert_eq!(reads.selectors, expected);
    assert_eq!(reads.labels, ["a", "b", "h"]);
    for bad in [
        "",
        "x{",
        "x{a=b}",
        "x[5]",
        "x[5m",
        "sum(x",
        "sum by a (x)",
        "frate(x[5m])",
        "x y",
        "x >",
        "x > 1s",
        "(x",
        "x{a=\"b}",
        "x ; y",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
