import Mustache

/// Draws a comparison as one HTML page.
///
/// The page needs nothing but itself: style, drawings and the script that sorts the table are
/// inside, and its content policy forbids it to load anything. Sections without data are left out.
/// Every string of the record is escaped.
///
/// - Returns: The whole document.
/// - Throws: What the template engine throws, should the built-in template be damaged.
public func renderReport(_ record: ComparisonRecord) throws -> String {
  let source = String(decoding: PackageResources.report_mustache, as: UTF8.self)
  return try MustacheTemplate(string: source).render(ReportPage(record))
}

extension Markup: MustacheCustomRenderable {
  package var renderText: String { source }
  package var isNull: Bool { false }
}
