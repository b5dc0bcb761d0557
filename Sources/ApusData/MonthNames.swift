/// The names of months in a language, full and short.
struct MonthNames: Sendable, Equatable {
  /// The language by its code of two letters (ISO 639-1).
  let locale: String
  /// The twelve full names in lower case.
  let names: [String]
  /// Short forms that are no beginning of the full name, with the month from 1.
  let others: [String: Int]

  private init(_ locale: String, _ names: String, _ others: [String: Int] = [:]) {
    self.locale = locale
    self.names = names.split(separator: " ").map(String.init)
    self.others = others
  }

  /// The languages that are known, English first.
  static let all: [MonthNames] = [
    MonthNames(
      "en",
      "january february march april may june july august september october november december"),
    MonthNames(
      "de", "januar februar märz april mai juni juli august september oktober november dezember",
      ["jänner": 1, "jän": 1, "feber": 2, "maerz": 3, "mrz": 3, "mär": 3]),
    MonthNames(
      "fr", "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
      ["fevrier": 2, "fevr": 2, "fev": 2, "juil": 7, "aout": 8, "decembre": 12, "dec": 12]),
    MonthNames(
      "es",
      "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
      ["setiembre": 9, "set": 9]),
    MonthNames(
      "it",
      "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"
    ),
    MonthNames(
      "pt",
      "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
      ["marco": 3]),
    MonthNames(
      "nl",
      "januari februari maart april mei juni juli augustus september oktober november december",
      ["mrt": 3]),
    MonthNames(
      "pl",
      "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień",
      [
        "stycznia": 1, "lutego": 2, "marca": 3, "kwietnia": 4, "maja": 5, "czerwca": 6, "lipca": 7,
        "sierpnia": 8, "września": 9, "października": 10, "paź": 10, "paz": 10, "listopada": 11,
        "grudnia": 12,
      ]),
    MonthNames(
      "sv", "januari februari mars april maj juni juli augusti september oktober november december"),
    MonthNames(
      "da", "januar februar marts april maj juni juli august september oktober november december"),
    MonthNames(
      "nb", "januar februar mars april mai juni juli august september oktober november desember"),
    MonthNames(
      "fi",
      "tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu heinäkuu elokuu syyskuu lokakuu marraskuu joulukuu"
    ),
    MonthNames(
      "cs",
      "leden únor březen duben květen červen červenec srpen září říjen listopad prosinec",
      [
        "ledna": 1, "února": 2, "března": 3, "dubna": 4, "května": 5, "června": 6, "července": 7,
        "srpna": 8, "října": 10, "listopadu": 11, "prosince": 12, "čvc": 7, "čvn": 6,
      ]),
    MonthNames(
      "tr", "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık"),
    MonthNames(
      "ru",
      "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
      [
        "января": 1, "февраля": 2, "марта": 3, "апреля": 4, "мая": 5, "июня": 6, "июля": 7,
        "августа": 8, "сентября": 9, "октября": 10, "ноября": 11, "декабря": 12,
      ]),
  ]

  /// The codes of all languages, for messages.
  static let codes = all.map(\.locale)

  /// English.
  static let english = all[0]

  /// The language of a code such as `de`, `de_AT` or `de-AT`; nil for one that is not known.
  static func named(_ code: String) -> MonthNames? {
    let language = code.lowercased().prefix { $0 != "_" && $0 != "-" && $0 != "." }
    return all.first { $0.locale == language || (language == "no" && $0.locale == "nb") }
  }

  /// The month from 1 of a word in lower case: a full name, or its first three letters or more.
  func month(_ word: String) -> Int? {
    if let month = others[word] { return month }
    guard word.count >= 3 else { return nil }
    var found: Int?
    for (index, name) in names.enumerated() where name.hasPrefix(word) {
      if name == word { return index + 1 }
      guard found == nil else { return nil }  // `jui` begins two months
      found = index + 1
    }
    return found
  }
}
