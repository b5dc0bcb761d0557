package import Testing

extension Tag {
  /// One operation against its definition.
  @Tag package static var kernel: Self
  /// Gradients against finite differences.
  @Tag package static var gradient: Self
  /// Numbers that the authors' code made.
  @Tag package static var golden: Self
  /// A law over many random cases.
  @Tag package static var property: Self
  /// Takes more than a few seconds.
  @Tag package static var slow: Self
}
