//! The network as an ONNX graph, run by rten.

use super::decode::{Cells, MULTIPLE, STRIDES, grid};
use crate::maps::Size;
use rten::{Model, ModelOptions, NodeId, Value, ValueView, op_registry};

/// What each stride's outputs are called, before the stride, and how many numbers a cell has.
const OUTPUTS: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];

pub struct Network {
    model: Model,
    input: NodeId,
    /// In order of [`STRIDES`], those of a stride in order of [`OUTPUTS`].
    outputs: [NodeId; 12],
}

impl Network {
    /// Of the bytes of the published file.
    ///
    /// # Panics
    /// For any others.
    pub fn of_published(bytes: Vec<u8>) -> Self {
        let operators = op_registry!(
            Add, Concat, Conv, Gather, MaxPool, Relu, Reshape, Resize, Shape, Sigmoid, Transpose,
            Unsqueeze
        );
        let model = ModelOptions::with_ops(operators)
            .prepack_weights(true)
            .load(bytes)
            .expect("the published network has these operators");
        let node = |name: &str| model.find_node(name).expect("of the published network");
        let names = STRIDES.into_iter().flat_map(|stride| {
            OUTPUTS.into_iter().map(move |(name, _)| format!("{name}_{stride}"))
        });
        let outputs: Vec<NodeId> = names.map(|name| node(&name)).collect();
        let input = model.input_ids()[0];
        Self { model, input, outputs: outputs.try_into().expect("three strides of four") }
    }

    /// What the network says of a picture (3, h, w): blue, green and red from 0 to 255, sides multiples
    /// of [`MULTIPLE`].
    pub fn run(&self, planes: Vec<f32>, size: Size) -> [Cells; 3] {
        debug_assert!([size.height, size.width].iter().all(|side| side.is_multiple_of(MULTIPLE)));
        let run = || {
            let input = ValueView::from_shape([1, 3, size.height, size.width], &planes)
                .expect("three planes");
            let said = self.model.run_n(vec![(self.input, input.into())], self.outputs, None);
            said.expect("the published network takes any picture")
        };
        // rten works in a pool of its own. A worker of ours that waited for it would begin with another
        // picture meanwhile, and with the next within that, until its stack ends; a thread just waits.
        let said =
            std::thread::scope(|scope| scope.spawn(run).join().expect("no panic of the network's"));
        let mut said = said.into_iter();
        STRIDES.map(|stride| {
            let cells = grid(size, stride).area();
            let [cls, obj, boxes, points] = OUTPUTS.map(|(_, numbers)| {
                let (shape, values) = said
                    .next()
                    .and_then(|value: Value| value.into_shape_vec::<f32, 3>().ok())
                    .expect("numbers of each cell");
                assert_eq!(shape, [1, cells, numbers]);
                values
            });
            Cells { cls, obj, boxes, points }
        })
    }
}
