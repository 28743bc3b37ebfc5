//! The network as an ONNX graph, run by rten.

use super::decode::{Cells, MULTIPLE, STRIDES, grid};
use super::onnx;
use crate::maps::Size;
use rten::{Dimension, Model, ModelOptions, NodeId, Value, ValueView, op_registry};

/// What each stride's outputs are called, before the stride, and how many numbers a cell has.
const OUTPUTS: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];
/// Pictures that a network is tried on: of different shapes, so that one made for a single size is found
/// out.
const TRIAL_SIZES: [Size; 2] = [Size { height: 32, width: 64 }, Size { height: 96, width: 32 }];

pub struct Network {
    model: Model,
    input: NodeId,
    /// In order of [`STRIDES`], those of a stride in order of [`OUTPUTS`].
    outputs: [NodeId; 12],
}

impl Network {
    /// Reads an ONNX file and tries it on small pictures.
    ///
    /// # Errors
    /// In words: no ONNX file, another network, one that says what is no number.
    pub fn of_onnx(bytes: Vec<u8>) -> Result<Self, String> {
        onnx::check(&bytes)?;
        // What the published network is made of and exporters add to it; nothing that loops.
        let operators = op_registry!(
            Add,
            BatchNormalization,
            Cast,
            Concat,
            Conv,
            Gather,
            Identity,
            MaxPool,
            Mul,
            Relu,
            Reshape,
            Resize,
            Shape,
            Sigmoid,
            Slice,
            Transpose,
            Unsqueeze
        );
        let model = ModelOptions::with_ops(operators)
            .prepack_weights(true)
            .load(bytes)
            .map_err(|e| one_line(&e))?;
        let [input] = *model.input_ids() else {
            return Err(format!("it has {} inputs, not one", model.input_ids().len()));
        };
        match model.input_shape(0).as_deref() {
            Some([_, Dimension::Fixed(3), _, _]) => {}
            _ => return Err("its input is not (batch, 3, height, width)".into()),
        }
        let mut outputs = Vec::new();
        for stride in STRIDES {
            for (name, _) in OUTPUTS {
                let name = format!("{name}_{stride}");
                let node = model.find_node(&name).filter(|id| model.output_ids().contains(id));
                outputs.push(node.ok_or_else(|| format!("it has no output {name}"))?);
            }
        }
        let outputs = outputs.try_into().map_err(|_| "it has other outputs")?;
        let network = Self { model, input, outputs };
        for size in TRIAL_SIZES {
            let ramp = (0..3 * size.area()).map(|i| (i % 256) as f32).collect();
            let finite = |cells: &Cells| {
                let said = [&cells.cls, &cells.obj, &cells.boxes, &cells.points];
                said.into_iter().flatten().all(|value| value.is_finite())
            };
            if !network.run(ramp, size)?.iter().all(finite) {
                return Err("what it says is not finite".into());
            }
        }
        Ok(network)
    }

    /// What the network says of a picture (3, h, w): blue, green and red from 0 to 255, sides multiples
    /// of [`MULTIPLE`].
    ///
    /// # Errors
    /// In words: a network that does not take this size.
    pub fn run(&self, planes: Vec<f32>, size: Size) -> Result<[Cells; 3], String> {
        debug_assert!([size.height, size.width].iter().all(|side| side.is_multiple_of(MULTIPLE)));
        let input = ValueView::from_shape([1, 3, size.height, size.width], &planes)
            .map_err(|e| one_line(&e))?;
        let said = self
            .model
            .run_n(vec![(self.input, input.into())], self.outputs, None)
            .map_err(|e| one_line(&e))?;
        let mut said = said.into_iter();
        let mut next = |output: usize, stride: usize| {
            let (name, numbers) = OUTPUTS[output];
            let shape = [1, grid(size, stride).area(), numbers];
            values(said.next(), shape).ok_or_else(|| format!("{name}_{stride} is not {shape:?}"))
        };
        let mut of_stride = |stride: usize| -> Result<Cells, String> {
            let (cls, obj) = (next(0, stride)?, next(1, stride)?);
            Ok(Cells { cls, obj, boxes: next(2, stride)?, points: next(3, stride)? })
        };
        let [fine, middle, coarse] = STRIDES;
        Ok([of_stride(fine)?, of_stride(middle)?, of_stride(coarse)?])
    }
}

fn values(value: Option<Value>, expected: [usize; 3]) -> Option<Vec<f32>> {
    let (shape, values) = value?.into_shape_vec::<f32, 3>().ok()?;
    (shape == expected).then_some(values)
}

/// An error of the runtime's, which may be long and quote what a damaged file holds.
fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string().replace(|c: char| c.is_control(), " ");
    text.chars().take(200).collect()
}
