import ApusData
import ApusTestSupport
import Testing

@Suite("Columns of words, and static ones")
struct CategoryTests {
  /// Two shops; a kind of promotion with an empty cell, a region for each shop.
  static let text = """
    month,shop,region,kind,units
    2024-01-01,a,north,flyer,5
    2024-02-01,a,north,none,4
    2024-03-01,a,north,,6
    2024-04-01,a,north,tv,
    2024-01-01,b,south,none,7
    2024-02-01,b,south,none,8
    2024-03-01,b,south,tv,9
    2024-04-01,b,south,flyer,
    """

  static func table(
    _ text: String = text, _ change: (inout SeriesOptions) -> Void = { _ in }
  ) throws -> SeriesTable {
    var options = SeriesOptions()
    (options.id, options.targets) = (["shop"], ["units"])
    (options.future, options.statics) = (["kind"], ["region"])
    change(&options)
    return try SeriesTable(parsingCSV: Array(text.utf8), options: options)
  }

  @Test("become a column for each class, the most frequent first, in the rows ahead too")
  func classes() throws {
    let table = try Self.table()
    #expect(
      table.covariateNames
        == ["region=north", "region=south", "kind=none", "kind=flyer", "kind=tv"])
    let (a, b) = (try #require(table.series(named: "a")), try #require(table.series(named: "b")))
    #expect(a.covariate(named: "region=north") == [1, 1, 1])
    #expect(b.covariate(named: "region=north") == [0, 0, 0])
    let flyer = try #require(a.covariate(named: "kind=flyer"))
    #expect(flyer[0] == 1 && flyer[1] == 0 && flyer[2].isNaN)
    #expect(b.future.covariate(named: "kind=flyer") == [1])
    #expect(b.future.covariate(named: "kind=none") == [0])
  }

  @Test("keep their classes for other files; a new word is of none")
  func unknown() throws {
    let format = try #require(try Self.table().format)
    #expect(format.categories["kind"] == ["none", "flyer", "tv"])
    let later = """
      month,shop,region,kind,units
      2024-05-01,a,north,radio,5
      2024-06-01,a,north,tv,4
      2024-07-01,a,north,tv,3
      """
    let table = try Self.table(later) { options in
      (options.format, options.statics) = (format, [])
    }
    let series = try #require(table.series.first)
    #expect(
      Set(table.covariateNames)
        == ["kind=none", "kind=flyer", "kind=tv", "region=north", "region=south"])
    let kinds = ["none", "flyer", "tv"].map { series.covariate(named: "kind=\($0)")?[0] }
    #expect(kinds == [0, 0, 0])
    #expect(series.covariate(named: "kind=tv") == [0, 1, 1])
  }

  @Test("read line by line, they are the same numbers")
  func lines() throws {
    let table = try Self.table()
    var options = SeriesOptions()
    (options.format, options.targets) = (table.format, ["units"])
    let wanted = Set(table.covariateNames)
    var reader = RowReader(options: options, isIntraday: false) { wanted.contains($0) }
    var rows: [LiveRow] = []
    for line in Self.text.split(separator: "\n") {
      rows += try reader.line(String(line)).rows
    }
    #expect(Set(reader.covariateNames) == wanted && rows.count == 8)
    for row in rows {
      let series = try #require(table.series(named: row.series))
      guard let place = series.timestamps.firstIndex(of: row.stamp) else { continue }
      for (name, number) in zip(reader.covariateNames, row.covariates) {
        let known = try #require(series.covariate(named: name))[place]
        #expect(known == number || known.isNaN && number.isNaN, "\(name)")
      }
    }
  }

  @Test("a static column that changes is refused with series and time; one number fills the gaps")
  func statics() throws {
    let error = try #require(throws: SeriesError.self) {
      try Self.table(Self.text.replacing("03-01,b,south", with: "03-01,b,north"))
    }
    #expect(error.description.contains("within series 'b' at 2024-03-01"), "\(error)")
    let numbers = Self.text.replacing("north", with: "7").replacing("south", with: "3")
    let table = try Self.table(numbers.replacing("02-01,a,7", with: "02-01,a,"))
    #expect(table.series(named: "a")?.covariate(named: "region") == [7, 7, 7])
  }

  @Test("are a target for nobody, and not what tells series apart")
  func roles() throws {
    let table = try Self.table { options in (options.id, options.targets) = ([], []) }
    #expect(table.targetName == "units" && table.series.map(\.id) == ["a", "b"])
  }
}
