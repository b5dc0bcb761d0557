/// Words by which people name columns, in several languages. A name alone never decides what a column is;
/// it breaks ties, and it says what has to be readable.
enum ColumnNames {
  private static let times: Set<String> = [
    "date", "datetime", "timestamp", "ds", "time", "dt", "opentime", "closetime", "tradedate",
    "tradingday", "caldt", "observationdate", "dateutc", "timeutc", "utc", "period", "day", "week",
    "month", "quarter", "year", "unixtime", "unixtimestamp", "epoch", "unix", "dteday", "asof",
    "asofdate", "pricedate", "settlementdate", "deliverydate", "obsdate", "refdate", "orderdate",
    "saledate", "salesdate", "invoicedate", "transactiondate", "reportdate", "startdate", "enddate",
    "starttime", "endtime", "createdat", "recordedat", "measuredat", "dateandtime", "timeperiod",
    "localtime", "yearmonth", "yyyymm", "yyyymmdd", "datum", "zeit", "zeitpunkt", "zeitstempel",
    "tag", "monat", "jahr", "quartal", "woche", "fecha", "dia", "mes", "semana", "trimestre",
    "jour",
    "mois", "annee", "année", "semaine", "horodatage", "dateheure", "giorno", "mese", "anno",
    "settimana", "dato", "tidspunkt", "dag", "maand", "jaar", "päivä", "päivämäärä", "pvm", "tarih",
    "дата", "время", "月", "日付", "日期", "时间", "時間", "날짜", "gmttime", "czas", "dzień", "fechahora",
  ]

  private static let steps: Set<String> = [
    "t", "ts", "time", "timestamp", "step", "timestep", "index", "idx", "ds", "period", "dt", "day",
    "week", "tick", "n", "nr", "no", "obs", "instant", "row", "rownumber", "id", "",
  ]

  private static let clocks: Set<String> = [
    "time", "clock", "timeofday", "uhrzeit", "zeit", "heure", "hora", "ora", "tijd", "tid",
    "klockan",
    "godzina", "saat", "время", "hhmm", "hhmmss", "kellonaika",
  ]

  private static let hours: Set<String> = [
    "hour", "hr", "hours", "he", "hourending", "hourend", "deliveryhour", "hourofday", "stunde",
    "std",
    "heure", "hora", "ora", "uur", "time", "timme", "godzina", "saat", "tunti", "uhrzeit",
    "operationhour", "tradinghour", "час",
  ]

  private static let series: [String] = [
    "uniqueid", "itemid", "seriesid", "tsid", "symbol", "ticker", "tic", "name", "id", "series",
    "asset", "instrument", "code", "stock", "pair", "item", "store", "sensor", "entity", "region",
    "country", "group", "permno", "sku", "product", "productid", "productcode", "storeid", "shop",
    "shopid", "storenbr", "itemnbr", "dept", "department", "customer", "customerid", "retailer",
    "retailerid", "station", "stationid", "device", "deviceid", "meter", "meterid", "location",
    "locationid", "site", "siteid", "zone", "category", "family", "variable", "metric", "indicator",
    "sensorid", "userid", "client", "artikel", "filiale", "produkt", "produit", "magasin",
    "producto", "tienda", "articulo",
  ]

  private static let targets: [String] = [
    "adjclose", "adjustedclose", "closeadj", "close", "closeprice", "closelast", "last", "price",
    "settle", "settlement", "y", "target", "value", "ot", "rv5", "rv", "sales", "unitssold",
    "units",
    "quantity", "qty", "demand", "load", "cnt", "count",
  ]

  /// Whether people call the time so.
  static func isTime(_ name: String) -> Bool {
    let plain = normalizedName(name)
    if times.contains(plain) { return true }
    // `Order Date`, `date_utc`, `Datum (UTC)`: one of the words.
    let words = self.words(name)
    return words.contains("date") || words.contains("datetime") || words.contains("timestamp")
      || words.contains("datum") || words.contains("fecha")
  }

  /// Whether people call a count of steps so.
  static func isStep(_ name: String) -> Bool { steps.contains(normalizedName(name)) }

  /// Whether people call a time of day so.
  static func isClock(_ name: String) -> Bool { clocks.contains(normalizedName(name)) }

  /// Whether people call an hour so.
  static func isHour(_ name: String) -> Bool {
    hours.contains(normalizedName(name))
      || !Set(words(name)).isDisjoint(with: ["hour", "hr", "stunde"])
  }

  /// How usual a name is for a column that names series: 0 for the most usual; nil for one that is not.
  static func seriesRank(_ name: String) -> Int? {
    let plain = normalizedName(name)
    if let rank = series.firstIndex(of: plain) { return rank }
    let last = words(name).last
    return last == "id" || last == "code" || last == "nbr" || last == "sku" ? series.count : nil
  }

  /// How usual a name is for what is forecast: 0 for the most usual; nil for one that is not.
  static func targetRank(_ name: String) -> Int? { targets.firstIndex(of: normalizedName(name)) }

  /// Whether people call an amount sold so.
  static func isQuantity(_ name: String) -> Bool {
    [
      "sales", "unitssold", "units", "quantity", "qty", "demand", "orders", "cnt", "count", "sold",
    ].contains(normalizedName(name))
  }

  /// The words of a name in lower case: `adjClose`, `adj_close` and `Adj Close` have two.
  static func words(_ name: String) -> [String] {
    var words: [String] = []
    var word = ""
    var wasLower = false
    for character in name {
      guard character.isLetter else {
        if !word.isEmpty { words.append(word) }
        (word, wasLower) = ("", false)
        continue
      }
      if character.isUppercase, wasLower {
        words.append(word)
        word = ""
      }
      word += character.lowercased()
      wasLower = character.isLowercase
    }
    if !word.isEmpty { words.append(word) }
    return words
  }
}
