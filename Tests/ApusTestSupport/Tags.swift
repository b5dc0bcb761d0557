import Foundation
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
}

extension Trait where Self == ConditionTrait {
  /// The test takes more than a second: the fast lane, `make check`, leaves it out.
  package static var slow: Self {
    .enabled(
      if: ProcessInfo.processInfo.environment["APUS_LANE"] != "fast", "the fast lane leaves it out")
  }
}
