//! The subset of XML in the answers of AWS's Query protocol, read into a tree.

use quick_xml::events::{BytesRef, Event};
use quick_xml::{Reader, XmlVersion};

/// An element: its local name, its own text, and its children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The first element at `path` below this one, e.g. `AssumeRoleResult/Credentials`.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |element, name| element.children.iter().find(|child| child.name == name))
    }

    /// The text at `path`.
    pub(crate) fn text_at(&self, path: &str) -> Option<&str> {
        self.at(path).map(|element| element.text.as_str())
    }

    /// The children of the list at `path`; empty if there is no such list.
    pub(crate) fn list_at(&self, path: &str) -> &[Self] {
        self.at(path).map_or(&[], |element| element.children.as_slice())
    }
}

/// The root of `text`; `None` if it is not well-formed.
pub(crate) fn parse(text: &str) -> Option<Element> {
    let mut reader = Reader::from_str(text);
    // The last element is open. The first one stands for the document.
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => open.push(named(tag.local_name().as_ref())),
            Event::Empty(tag) => open.last_mut()?.children.push(named(tag.local_name().as_ref())),
            Event::End(_) => {
                let mut done = open.pop()?;
                if done.children.is_empty() {
                    done.text = done.text.trim().to_owned();
                } else {
                    done.text.clear();
                }
                open.last_mut()?.children.push(done);
            }
            Event::Text(text) => {
                let text = text.xml_content(XmlVersion::Explicit1_0);
                open.last_mut()?.text.push_str(&text);
            }
            Event::CData(text) => {
                let text = text.xml_content(XmlVersion::Explicit1_0);
                open.last_mut()?.text.push_str(&text);
            }
            Event::GeneralRef(reference) => open.last_mut()?.text.push(resolve(&reference)?),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    let mut document = open.pop()?;
    if open.is_empty() { document.children.pop() } else { None }
}

fn named(name: &str) -> Element {
    Element { name: name.to_owned(), ..Element::default() }
}

fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character);
    }
    match &*reference.xml_content(XmlVersion::Explicit1_0) {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// `text` with XML's five special characters escaped.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_read_by_path_with_references_resolved() {
        let root = parse(
            "<?xml version='1.0'?><A xmlns=\"x\"><R>\n <K>a&amp;b&#x41;</K> <L><member>1</member><member>2</member></L><E/></R></A>",
        )
        .unwrap();
        assert_eq!(root.text_at("R/K"), Some("a&bA"));
        assert_eq!(root.list_at("R/L").len(), 2);
        assert_eq!(root.text_at("R/E"), Some(""));
        assert_eq!(root.text_at("R/None"), None);
    }

    #[test]
    fn truncated_xml_gives_none() {
        assert_eq!(parse("<A><B>"), None);
    }
}
