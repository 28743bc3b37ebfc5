//! Whether a file is sound ONNX, before the runtime reads it.
//!
//! ONNX is a message in the wire format of Protocol Buffers. rten 0.27 trusts its numbers and lengths: a
//! number that goes on for more than ten bytes is never done, a length is allocated before it is found
//! to reach beyond the file, and messages within messages take stack without end. So each number ends
//! here, each length stays within what holds it, and graphs within graphs, which YuNet has no use for, are
//! refused.

/// The messages of onnx.proto that hold others, as far as a network of tensors needs them.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// Holds no other message.
    Plain,
}

/// What a field of some length is.
enum Content {
    Message(Message),
    /// Numbers one after the other.
    Numbers,
    /// Text, weights, or what the runtime skips.
    Bytes,
    Refused(&'static str),
}

impl Message {
    fn content(self, field: u64) -> Content {
        let message = match (self, field) {
            (Self::Model, 7) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::ValueInfo,
            (Self::Node, 5) => Self::Attribute,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Shape, 1) => Self::Plain,
            (Self::Tensor, 5 | 7) => return Content::Numbers,
            (Self::Attribute, 6) => return Content::Refused("it holds a graph within a graph"),
            (Self::Type, 4) => return Content::Refused("it holds sequences"),
            _ => return Content::Bytes,
        };
        Content::Message(message)
    }
}

/// # Errors
/// What is wrong, in words.
pub fn check(bytes: &[u8]) -> Result<(), &'static str> {
    check_message(bytes, Message::Model)
}

fn check_message(mut bytes: &[u8], message: Message) -> Result<(), &'static str> {
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        match tag & 7 {
            0 => drop(number(&mut bytes)?),
            1 => drop(part(&mut bytes, 8)?),
            5 => drop(part(&mut bytes, 4)?),
            2 => {
                let length = number(&mut bytes)?;
                let mut inner = part(&mut bytes, length)?;
                match message.content(tag >> 3) {
                    Content::Message(message) => check_message(inner, message)?,
                    Content::Numbers => {
                        while !inner.is_empty() {
                            number(&mut inner)?;
                        }
                    }
                    Content::Bytes => {}
                    Content::Refused(reason) => return Err(reason),
                }
            }
            _ => return Err("it is no ONNX file, or a damaged one"),
        }
    }
    Ok(())
}

/// A number in groups of seven bits, the lowest first, each byte but the last with its highest bit set.
fn number(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    Err("it is no ONNX file, or a damaged one")
}

fn part<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], &'static str> {
    let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
    let (inner, rest) = bytes.split_at(length.ok_or("it is cut short, or no ONNX file")?);
    *bytes = rest;
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_after_ten_bytes() {
        let read = |mut bytes: &[u8]| {
            let value = number(&mut bytes);
            (value.ok(), bytes.len())
        };
        assert_eq!(read(&[0x05, 0x01]), (Some(5), 1));
        assert_eq!(read(&[0xac, 0x02]), (Some(300), 0));
        let mut minus_one = [0xff; 10];
        minus_one[9] = 1;
        assert_eq!(read(&minus_one), (Some(u64::MAX), 0));
        assert_eq!(read(&[0xff; 20]), (None, 20));
        assert_eq!(read(&[0x80]), (None, 1));
    }

    #[test]
    fn lengths_stay_within_what_holds_them() {
        // A model (field 7, a graph of 4 bytes (field 1, a node of 2 bytes (field 1, text of 0 bytes))).
        let good = [0x3a, 4, 0x0a, 2, 0x0a, 0];
        assert_eq!(check(&good), Ok(()));
        for at in [1, 3, 5] {
            let mut bad = good;
            bad[at] += 1;
            assert!(check(&bad).is_err(), "{at}");
        }
        for end in [1, 2, 3, 4, 5] {
            assert!(check(&good[..end]).is_err(), "{end}");
        }
        // The end of a group; a number that goes on, as a tag and in a tensor's packed numbers.
        assert!(check(&[0x0c]).is_err() && check(&[0xff; 40]).is_err());
        let packed = [&[0x3a, 16, 0x2a, 14, 0x3a, 12][..], &[0x80; 12]].concat();
        assert!(check(&packed).is_err());
        // The same bytes as weights are weights.
        let raw = [&[0x3a, 16, 0x2a, 14, 0x4a, 12][..], &[0x80; 12]].concat();
        assert_eq!(check(&raw), Ok(()));
        // A node whose attribute is a graph.
        let nested = [0x3a, 6, 0x0a, 4, 0x2a, 2, 0x32, 0];
        assert_eq!(check(&nested), Err("it holds a graph within a graph"));
    }
}
