//! Documents and their published schemas.

use serde_json::Value;

use super::Ended;

/// Each line of standard output is a document of this published schema.
#[track_caller]
pub(crate) fn assert_schema(schema: &str, ended: &Ended, lines: bool) {
    assert_documents(schema, &ended.stdout, lines);
}

/// The same of a text.
#[track_caller]
pub(crate) fn assert_documents(schema: &str, text: &str, lines: bool) {
    let path = format!(
        "{}/../docs/schema/{schema}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let published = std::fs::read_to_string(&path).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&published).unwrap()).unwrap();
    let documents: Vec<&str> = if lines {
        text.lines().collect()
    } else {
        vec![text]
    };
    assert!(!documents.is_empty(), "no document of {schema}");
    for document in documents {
        let value: Value = serde_json::from_str(document).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|it| it.to_string())
            .collect();
        assert!(errors.is_empty(), "{schema}: {errors:?} in {document}");
        assert_eq!(value["schema"], 1, "{schema}");
    }
}
