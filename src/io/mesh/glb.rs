//! glTF 2.0 in one binary file (Khronos Group, "glTF 2.0 Specification", sections 3.6, 3.7, 4.4).

use super::Mesh;
use serde_json::{Value, json};

const FLOAT: u32 = 5126;
const UNSIGNED_INT: u32 = 5125;
const ARRAY_BUFFER: u32 = 34962;
const ELEMENT_ARRAY_BUFFER: u32 = 34963;

/// The file's bytes, or why there is no such file: its lengths are 32-bit.
pub(super) fn encode(mesh: &Mesh) -> Result<Vec<u8>, &'static str> {
    let mut parts = Parts::default();
    let [least, most] = bounds(&mesh.positions);
    let mut attributes = json!({
        "POSITION": parts.add(&mesh.positions, ARRAY_BUFFER, json!({
            "componentType": FLOAT, "type": "VEC3", "min": least, "max": most,
        })),
    });
    let vectors = json!({ "componentType": FLOAT, "type": "VEC3" });
    if let Some(normals) = &mesh.normals {
        attributes["NORMAL"] = parts.add(normals, ARRAY_BUFFER, vectors.clone()).into();
    }
    if let Some(colours) = &mesh.colours {
        attributes["COLOR_0"] = parts.add(colours, ARRAY_BUFFER, vectors).into();
    }
    let indices = bytemuck::cast_slice::<[u32; 3], u32>(&mesh.triangles);
    let indices = parts.add(
        indices,
        ELEMENT_ARRAY_BUFFER,
        json!({
            "componentType": UNSIGNED_INT, "type": "SCALAR",
        }),
    );
    let document = json!({
        "asset": { "version": "2.0", "generator": concat!("lumiface ", env!("CARGO_PKG_VERSION")) },
        "scene": 0,
        "scenes": [{ "nodes": [0] }],
        "nodes": [{ "mesh": 0 }],
        "meshes": [{ "primitives": [{
            "attributes": attributes, "indices": indices, "material": 0,
        }] }],
        // An open, matt shell: without these it would be taken for polished metal, and be
        // invisible from behind.
        "materials": [{
            "pbrMetallicRoughness": { "metallicFactor": 0.0, "roughnessFactor": 1.0 },
            "doubleSided": true,
        }],
        "buffers": [{ "byteLength": parts.bytes.len() }],
        "bufferViews": parts.views,
        "accessors": parts.accessors,
    });
    assemble(document.to_string().into_bytes(), parts.bytes)
}

/// The binary chunk and what describes it.
#[derive(Default)]
struct Parts {
    bytes: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
}

impl Parts {
    /// Appends an array of 4-byte numbers; returns its accessor's index.
    fn add<T: bytemuck::NoUninit>(&mut self, values: &[T], target: u32, kind: Value) -> usize {
        let start = self.bytes.len();
        // glTF is little-endian, as every machine is that this was built for.
        const { assert!(cfg!(target_endian = "little")) };
        self.bytes.extend_from_slice(bytemuck::cast_slice(values));
        self.views.push(json!({
            "buffer": 0, "byteOffset": start, "byteLength": self.bytes.len() - start,
            "target": target,
        }));
        let mut accessor = kind;
        accessor["bufferView"] = (self.views.len() - 1).into();
        accessor["count"] = values.len().into();
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }
}

fn bounds(positions: &[[f32; 3]]) -> [[f32; 3]; 2] {
    positions.iter().fold([[f32::INFINITY; 3], [f32::NEG_INFINITY; 3]], |[least, most], p| {
        [std::array::from_fn(|i| least[i].min(p[i])), std::array::from_fn(|i| most[i].max(p[i]))]
    })
}

/// Header, JSON chunk, binary chunk, each padded to a multiple of four bytes.
fn assemble(mut json: Vec<u8>, mut binary: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    json.resize(json.len().next_multiple_of(4), b' ');
    binary.resize(binary.len().next_multiple_of(4), 0);
    let length = 12 + 8 + json.len() + 8 + binary.len();
    let too_large = |_| "would exceed the 4 GiB of a GLB file; write .ply instead";
    let length = u32::try_from(length).map_err(too_large)?;
    let mut file = Vec::with_capacity(length as usize);
    file.extend_from_slice(b"glTF");
    file.extend_from_slice(&2u32.to_le_bytes());
    file.extend_from_slice(&length.to_le_bytes());
    for (kind, chunk) in [(b"JSON", &json), (b"BIN\0", &binary)] {
        // Shorter than the whole, whose length fits.
        file.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        file.extend_from_slice(kind);
        file.extend_from_slice(chunk);
    }
    Ok(file)
}
