"""The headings that ad platforms and pipelines give to the columns that a reading needs, by meaning and language.

Headings are compared in lower case, without accents, spaces and signs: «Campaign ID», `campaign_id`, `campaign.id` and
`campaignId` are one. Within a meaning, headings of an earlier text win over those of a later one in the same file.
"""

from collections.abc import Mapping
from typing import Final

CAMPAIGN: Final = (
    """
    campaign_id; campaignid; campaign.id; campaign ids; external_campaign_id; platform_campaign_id; campaign external id
    campaign_ref_id; campaign number; campaign no
    Kampagnen-ID; KampagnenID; Kampagne-ID; Kampagnennummer; ID der Kampagne
    ID de campagne; ID de la campagne; Identifiant de campagne; Identifiant de la campagne; Numéro de campagne
    ID de campaña; ID de la campaña; Identificador de campaña; Identificador de la campaña; Código de campaña
    ID da campanha; ID de campanha; ID campanha; Identificação da campanha; Código da campanha; Identificador da campanha
    ID campagna; ID della campagna; ID di campagna; Identificativo campagna; Codice campagna
    Campagne-ID; CampagneID; Campagne-id; ID campagne; Campagnenummer; ID van campagne
    Identyfikator kampanii; ID kampanii; Nr kampanii; Numer kampanii
    キャンペーン ID; キャンペーンID; キャンペーンＩＤ; キャンペーン番号
    Kampanj-ID; Kampanje-ID; Kampagne-id; Kampanjtunnus; Kampanjan tunnus; Kampanya kimliği; Kampanya ID; ID kampaně; ID kampane
    Идентификатор кампании; ID кампании; ID кампанії; 广告系列 ID; 广告活动编号; 推广活动 ID; 廣告活動編號; 캠페인 ID; 캠페인 아이디
    Kampány azonosítója; ID campanie; ID campaniei; รหัสแคมเปญ; ID chiến dịch; ID Kampanye; Αναγνωριστικό καμπάνιας
    """,
    "external_id; campaign urn; campaign key; pivotvalues; pivotvalue",
    "id",
    "insertion order id; order id; campaign group id",
    "line item id",
)
"""Headings of campaign ids. Ids of orders and line items stand for campaigns in files without campaign ids."""

NAME: Final = (
    """
    campaign_name; campaign.name; campaign; campaigns; campaign title; campaign label
    Kampagne; Kampagnenname; Name der Kampagne; Kampagnen
    Campagne; Nom de la campagne; Nom de campagne; Campagnes
    Campaña; Nombre de la campaña; Nombre de campaña; Campañas
    Campanha; Nome da campanha; Nome de campanha; Campanhas
    Campagna; Nome campagna; Nome della campagna; Nome di campagna; Campagne
    Campagnenaam; Naam van campagne; Naam campagne; Campagne naam
    Kampania; Nazwa kampanii; Kampanie
    キャンペーン; キャンペーン名; キャンペーンの名前
    Kampanj; Kampanjnamn; Kampanje; Kampanjenavn; Kampagnenavn; Kampanja; Kampanjan nimi; Kampanya; Kampanya adı; Kampaň; Název kampaně; Název kampane
    Кампания; Название кампании; Кампанія; Назва кампанії; 广告系列; 广告系列名称; 推广活动名称; 廣告活動; 廣告活動名稱; 캠페인; 캠페인 이름; 캠페인명
    Kampány; Kampány neve; Campanie; Numele campaniei; แคมเปญ; ชื่อแคมเปญ; Chiến dịch; Tên chiến dịch; Kampanye; Nama kampanye; Καμπάνια; Όνομα καμπάνιας
    """,
    "insertion order; order; order name; line item; line item name; ad_name; name; media campaign",
)

DAY: Final = (
    """
    day; date; days; date_day; segments.date; segments_date; metrics_date; stat_time_day; by day; day of; report day; reporting day
    report_date; reporting date; gregorian_date; activity date; delivery date; spend date; date (day); dates; date day
    Tag; Datum; Tage; Berichtstag; Berichtsdatum; nach Tag
    Jour; Date du rapport; Jours; Par jour; Journée
    Día; Fecha; Días; Por día; Fecha del informe
    Dia; Data; Dias; Por dia; Data do relatório
    Giorno; Giorni; Per giorno; Data del report; Data del rapporto
    Dag; Dagen; Per dag; Rapportdatum
    Dzień; Dni; Dzien; Według dni; Data raportu
    日; 日付; 日別; 年月日; 配信日; 対象日; 日次; 日にち
    Päivä; Päivämäärä; Dato; Gün; Tarih; Den; День; Дата; 天; 日期; 날짜; 일; 일자; Nap; Dátum; Zi; Ziua; Dată; วัน; วันที่; Ngày; Hari; Tanggal; Ημέρα; Ημερομηνία
    """,
    """
    daterange.start; date_start; reporting starts; reporting start; report start; start date; start time; date from; start_date; starts on; period start
    time_period; timeperiod; stat_time_hour; date_time; datetime; date hour; datehour; timestamp; hour of day and date; interval; date and time; time
    Beginn des Berichts; Berichtsstart; Startdatum; Auswertungsbeginn; Anfang des Auswertungszeitraums; Start der Berichterstellung
    Début du rapport; Début des rapports; Date de début; Début de la période
    Inicio del informe; Fecha de inicio; Comienzo del informe
    Início dos relatórios; Início do relatório; Data de início; Data de inicio
    Inizio report; Inizio dei report; Data di inizio; Data inizio; Inizio del report
    Begin van rapportage; Rapportagebegin; Begindatum; Start rapportage; Rapportage start
    Początek raportowania; Data rozpoczęcia; Początek okresu raportowania
    レポート開始日; 開始日; レポート開始
    """,
    "_data_date; data date",
)
"""Headings of a day, or of the beginning of a period, which counts as a day if the period ends on the same day."""

END: Final = (
    """
    daterange.end; date_stop; date_end; reporting ends; reporting end; report end; end date; end time; date to; end_date; ends on; period end
    Ende des Berichts; Berichtsende; Enddatum; Auswertungsende; Ende des Auswertungszeitraums; Ende der Berichterstellung
    Fin du rapport; Fin des rapports; Date de fin; Fin de la période
    Fin del informe; Fecha de finalización; Fecha de fin; Finalización del informe
    Encerramento dos relatórios; Término dos relatórios; Fim do relatório; Data de término; Data de fim
    Fine report; Fine dei report; Data di fine; Data fine; Fine del report
    Einde van rapportage; Rapportage-einde; Einddatum; Einde rapportage; Rapportage einde
    Koniec raportowania; Data zakończenia; Koniec okresu raportowania
    レポート終了日; 終了日; レポート終了
    """,
)

PERIOD: Final = (
    """
    week; weeks; week of; week start; isoweek; segments.week; segments_week; by week; week starting; week (mon-sun); week ending; year week; yearweek
    month; months; by month; month of; segments.month; segments_month; year month; yearmonth; calendar month; month of year
    quarter; by quarter; segments.quarter; segments_quarter; year; segments.year; segments_year; date range; period; time frame; timeframe; reporting period
    Woche; Kalenderwoche; KW; Monat; Quartal; Jahr; Zeitraum; Semaine; Mois; Trimestre; Année; Période; Semana; Mes; Año; Período; Periodo
    Mês; Ano; Settimana; Mese; Anno; Week; Maand; Kwartaal; Jaar; Periode; Tydzień; Miesiąc; Kwartał; Rok; Okres; 週; 月; 四半期; 年; 期間; 週別; 月別; 年月
    Vecka; Månad; Uke; Måned; Uge; Viikko; Kuukausi; Hafta; Ay; Неделя; Месяц; 周; 주; 월
    """,
)

SPEND: Final = (
    """
    billed_charge_local_micro; metrics.cost_micros; cost_micros; spend_in_micro_dollar; spend_in_micro; spend_micros; spend_micro; cost_micro
    cost_in_local_currency; local_spend_amount; local_spend; local_spend.amount; localspend.amount; spend in account currency; cost in account currency
    cost in local currency; cost (account currency); spend (account currency); cost (local currency); spend local currency; total spend in account currency
    spend in local currency; advertiser cost (adv currency); advertiser cost (advertiser currency); advertiser cost in advertiser currency
    """,
    """
    spend; cost; amount spent; amount_spent; total spent; total_spent; total spend; total_spend; total cost; total_cost; costs; spent; spends; ad spend; ad_spend
    ad cost; ad costs; adcost; adspend; ads spend; media spend; advertiser cost; advertiser_cost; advertisercost; campaign spend; campaign cost; spend amount; spent amount; amount spend
    Kosten; Ausgaben; Ausgegebener Betrag; Ausgegeben; Werbekosten; Gesamtkosten; Gesamtausgaben; Werbeausgaben; Aufwendungen; Gesamt ausgegeben; Betrag ausgegeben; Ausgaben insgesamt; Ausgaben gesamt; Kosten gesamt
    Coût; Coûts; Dépenses; Dépense; Montant dépensé; Coût total; Dépenses totales; Total dépensé; Dépenses publicitaires; Total des dépenses; Montant total dépensé
    Coste; Costo; Gasto; Gastos; Importe gastado; Inversión; Coste total; Costo total; Gasto total; Total gastado; Importe invertido; Monto gastado; Cantidad gastada; Total invertido; Inversión total; Importe total gastado
    Custo; Gasto; Gastos; Valor gasto; Valor usado; Montante gasto; Custo total; Investimento; Gasto total; Total gasto; Despesa; Quantia gasta; Total investido; Valor total gasto; Montante total gasto
    Costo; Spesa; Importo speso; Costo totale; Spesa totale; Totale speso; Costi; Speso; Importo totale speso; Totale spesa
    Kosten; Besteed bedrag; Uitgaven; Totale kosten; Totaal besteed; Besteding; Bestedingen; Uitgegeven bedrag; Totaal uitgegeven; Totale uitgaven
    Koszt; Wydatki; Wydana kwota; Kwota wydana; Koszt całkowity; Łączny koszt; Wydatek; Koszty
    費用; コスト; 消化金額; 消化額; 広告費; ご利用額; 利用金額; 消化コスト; 支出; 広告費用; 合計コスト; 配信費用; 利用額
    Kostnad; Kostnader; Spenderat belopp; Omkostning; Omkostninger; Brukt beløp; Brugt beløb; Forbrug; Kulut; Kustannus; Kustannukset; Maliyet; Harcanan tutar; Harcama; Cena; Náklady; Útrata; Vynaložená částka
    Стоимость; Расход; Расходы; Потраченная сумма; Сумма затрат; Затраты; Витрати; Вартість; 费用; 花费; 花費; 消耗; 费用总额; 支出金額; 花费金额; 비용; 지출; 지출 금액; 총비용
    Költség; Elköltött összeg; Cost total; Suma cheltuită; ค่าใช้จ่าย; จำนวนเงินที่ใช้จ่ายไป; Chi phí; Số tiền đã chi tiêu; Biaya; Jumlah yang dibelanjakan; Κόστος; Ποσό που δαπανήθηκε
    """,
    "media cost; total media cost; gross cost; net cost; cost_in_usd; cost usd; spend in usd; amount; betrag; montant; importe; valor; importo; bedrag; kwota; 金額",
)
"""Headings of money spent, the surest text first; headings of a later text are taken if there are no earlier ones."""

REVENUE_IS_COST: Final = (
    "revenue (adv currency); revenue (advertiser currency); revenue adv currency; revenue advertiser currency"
)
"""Headings by which DV360 names an advertiser's cost."""

CURRENCY: Final = (
    """
    currency; currency_code; currency code; account_currency; account_currency_code; account currency; account currency code; currencycode
    customer.currency_code; customer_currency_code; advertiser currency; budget currency; campaign_budget_currency_code; local_spend_currency; local_spend.currency
    localspend.currency; cost currency; spend currency; billing currency; currency iso; ad account currency; advertiser_currency; adv currency; campaign currency
    Währung; Währungscode; Kontowährung; Devise; Code de devise; Devise du compte; Code devise; Moneda; Código de moneda; Moneda de la cuenta; Divisa
    Moeda; Código da moeda; Moeda da conta; Código de moeda; Valuta; Codice valuta; Valuta dell'account; Valuta account; Valutacode; Accountvaluta
    Waluta; Kod waluty; Waluta konta; 通貨; 通貨コード; アカウントの通貨; Valutakod; Valuuttakoodi; Para birimi; Para birimi kodu; Měna; Kód měny; Валюта; Код валюты; 货币; 货币代码; 通貨代碼; 통화; 통화 코드; Pénznem; Monedă
    """,
)

ACCOUNT: Final = (
    """
    account_id; account id; customer_id; customer id; customer.id; advertiser_id; advertiser id; ad account id; ad_account_id; advertiser account id; external customer id
    accountid; customerid; advertiserid; org id; orgid; organization id; account number; profile_id; profile id; account.id
    Konto-ID; Kunden-ID; Kundennummer; ID du compte; ID de compte; Numéro client; Identifiant du compte; ID de la cuenta; ID de cuenta; ID de cliente; ID da conta; ID de conta; ID do cliente
    ID account; ID dell'account; ID cliente; Account-ID; Klant-ID; Identyfikator konta; ID konta; ID klienta; アカウント ID; アカウントID; お客様 ID; 広告アカウントID; Konto-id
    """,
)

HOUR: Final = (
    """
    hour; hour of day; hours; hour_of_day; segments.hour; segments_hour; time of day; hourly; stat hour; hour of the day
    Stunde; Uhrzeit; Tageszeit; Heure; Heure de la journée; Hora; Hora del día; Hora do dia; Ora; Ora del giorno; Uur; Uur van de dag; Godzina; Godzina dnia; 時間; 時; 時間帯
    """,
)

PLATFORM: Final = (
    """
    platform; data source; datasource; data source name; data_source; data source type; ad platform; source; source platform
    Plattform; Datenquelle; Plateforme; Source de données; Plataforma; Fuente de datos; Fonte de dados; Piattaforma; Origine dati; Gegevensbron; Platforma; Źródło danych; プラットフォーム; データソース; 媒体
    """,
)

WHOLE: Final = (
    """
    impr; impr.; impressions; clicks; reach; link clicks; paid impressions; swipe ups; pin clicks; outbound clicks; taps; interactions; video views; installs; impression
    Impressionen; Klicks; Reichweite; Impressions; Clics; Couverture; Impresiones; Alcance; Impressões; Cliques; Impr.; Impressioni; Clic; Copertura; Impressies; Vertoningen; Klikken; Bereik
    Wyświetlenia; Kliknięcia; Zasięg; 表示回数; クリック数; インプレッション; インプレッション数; クリック; リーチ; Exponeringar; Klick; Visninger; Klik; Gösterim; Tıklamalar; Показы; Клики; 展示次数; 点击次数; 노출수; 클릭수
    """,
)
"""Headings of counts, which are whole numbers: a mark in one of them is a thousands sign."""

AD_ID: Final = ("ad_id; ad id",)
"""Headings of ad ids, which stand for campaign ids in files of Snapchat without them, in others if a person says so."""

PART: Final = (
    """
    ad set; ad set name; ad set id; adset; adset_name; ad group; ad group name; ad group id; ad name; ad; device; devices; placement; network; keyword; search term
    publisher platform; device platform; impression device; country; region; age; gender; ad squad name; creative; line item
    Anzeigengruppe; Anzeigengruppenname; Name der Anzeigengruppe; Anzeigenname; Gerät; Platzierung; Land; Ensemble de publicités; Nom de l'ensemble de publicités; Groupe d'annonces; Appareil; Pays
    Conjunto de anuncios; Nombre del conjunto de anuncios; Grupo de anuncios; Dispositivo; País; Conjunto de anúncios; Nome do conjunto de anúncios; Grupo de anúncios; Plataforma do dispositivo
    Gruppo di inserzioni; Nome del gruppo di inserzioni; Gruppo di annunci; Advertentieset; Naam van advertentieset; Advertentiegroep; Apparaat; Zestaw reklam; Nazwa zestawu reklam; Grupa reklam; Urządzenie
    広告セット; 広告セット名; 広告グループ; 広告グループ名; デバイス; 広告名
    """,
)
"""Headings of a campaign's parts, such as devices: a report can have a row for each part of a day, and a sum row."""

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "campaign": CAMPAIGN,
    "name": NAME,
    "day": DAY,
    "end": END,
    "period": PERIOD,
    "spend": SPEND,
    "currency": CURRENCY,
    "account": ACCOUNT,
    "hour": HOUR,
    "platform": PLATFORM,
    "whole": WHOLE,
    "ad": AD_ID,
}
"""By meaning, texts of headings separated by semicolons and lines; headings of an earlier text are preferred."""

TOTAL_WORDS: Final = (
    "total; totals; grand total; subtotal; sub total; sum; overall total; gesamt; gesamtsumme; summe; zwischensumme; insgesamt; gesamtergebnis; "
    "total général; sous-total; somme; totaux; ensemble; total general; subtotales; suma; totales; suma total; total geral; totais; soma; totale; totali; totale complessivo; "
    "somma; subtotale; totaal; eindtotaal; subtotaal; totalen; som; łącznie; razem; suma całkowita; ogółem; suma końcowa; suma częściowa; "
    "合計; 総計; 小計; 総合計; 計; totalt; summa; i alt; yhteensä; toplam; genel toplam; celkem; итого; всего; общий итог; разом; 总计; 合计; 總計; 합계; 총계; összesen; "
    "total general:; รวม; tổng; jumlah; σύνολο; results from; account total; campaign total"
)
"""The words that rows of sums begin or end with."""
