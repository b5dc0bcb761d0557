extension Architecture {
  /// ``Transformer`` with a short window in every layer: a token costs and remembers the same
  /// however many came before, and what lies further back reaches it through the layers below.
  ///
  /// Child et al., 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509;
  /// Beltagy et al., 2020, *Longformer*, arXiv:2004.05150, section 3.1.
  static let sliding = Architecture(
    name: "sliding", modelTypes: ["sliding"],
    summary: "Transformer that sees a quarter of the context in each layer, from a rolling cache",
    paper: "Child et al., 2019, arXiv:1904.10509; Beltagy et al., 2020, arXiv:2004.05150",
    isRecurrent: true
  ) {
    TransformerConfig($0, modelType: "sliding", window: min(256, max(2, $0.context / 4)))
  }
}
