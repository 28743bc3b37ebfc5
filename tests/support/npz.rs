//! Just enough of NumPy's formats to read one array of ground truth.

use std::path::Path;

/// Height, width and row-major values of the only array of an `.npz`, if it is of two dimensions
/// and little-endian float32.
///
/// # Panics
/// With the reason, if it is anything else.
pub fn read_f32(path: &Path) -> ([usize; 2], Vec<f32>) {
    let bytes = std::fs::read(path).expect("the file is readable");
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    assert_eq!(&bytes[..4], b"PK\x03\x04", "{}: not a zip file", path.display());
    let body = &bytes[30 + u16_at(26) + u16_at(28)..];
    // Both kinds of body end by themselves: deflate in its stream, a stored array by its shape.
    let array = match u16_at(8) {
        0 => body.to_vec(),
        8 => miniz_oxide::inflate::decompress_to_vec(body).expect("a sound deflate stream"),
        method => panic!("{}: compression method {method}", path.display()),
    };
    assert_eq!(&array[..8], b"\x93NUMPY\x01\x00", "{}: not an npy 1.0 array", path.display());
    let header_end = 10 + usize::from(u16::from_le_bytes([array[8], array[9]]));
    let header = std::str::from_utf8(&array[10..header_end]).expect("an ASCII header");
    assert!(header.contains("'<f4'"), "{header}");
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let (height, width) = shape.split_once(", ").expect("two lengths");
    let [height, width] = [height, width].map(|n| n.parse::<usize>().expect("a length"));
    let values: Vec<f32> =
        array[header_end..].as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    assert_eq!(values.len(), height * width, "{header}");
    let by_columns = header.contains("'fortran_order': True");
    let at = |row: usize, column: usize| {
        values[if by_columns { column * height + row } else { row * width + column }]
    };
    let values = (0..height * width).map(|i| at(i / width, i % width)).collect();
    ([height, width], values)
}
