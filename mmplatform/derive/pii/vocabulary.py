"""Word lists of the finders."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOT_NAMES: Final = frozenset(
    _words("""
        a about accept account accounts actions add address again agent alert all amazon amex amount an and
        android anyone anything api app apple april are as at attempt august back bank basic basket best
        billing black bluetooth bot browser business buy bye call cancel cancelled card cart case category
        chat check checkout chrome city claim click close code color colour company confirm confirmed connect
        contact continue cookie copy could country coupon credit customer cvc cvv dashboard date dear debit
        december declined delete delivered delivery details device did disconnect discount discover do
        documents done download e-mail edge edit email enter error every everybody everyone excellent exchange
        expired expiry express face failed failure faq february feedback find firefox firmware first folks
        forgot free friday friend friends from gift gmail good google great guest guys hello help here hey hi
        history home hotmail how http https i iban icloud id if in inbox info instagram invoice ios ip ipad
        iphone is issue it item items its january jpg july june just key kind klarna label ladies language
        last later left link linux list load login logout mac madam maestro mail manager map march mastercard
        may maybe me medium menu message messenger microsoft mobile monday month more morning mr mrs ms my
        name need new next nice night no none not note notice notify november now october of off office ok
        okay on once one online open option or order orders our out outlook page paid parcel password patient
        pay payment payments paypal pdf pending perfect phone pin plan please plus pm pmt png premium press
        price print pro problem proceed product profile purchase quantity question reason receipt received ref
        reference refund refunded regards register reminder report representative request reset retry return
        returns review rma safari sale samsung saturday save search secure security see select send sent sepa
        september service session settings share shipment shipped shipping shop shopify sign sir size sku
        small sms so sofort someone something sorry standard start status stop store stripe submit
        subscription subtotal success summary sunday support sure switch system tap tax team terms test text
        thank thanks that the there these they this thursday ticket time to today tomorrow total track
        tracking transaction transfer try tuesday twitter type undo unknown up update upgrade upload url us
        usb user username vat venmo verify version view visa voucher wait wallet warning we web website
        wednesday welcome what whatsapp when where who why wi-fi wifi window windows with wrong www xl xs xxl
        yes yesterday you your youtube zip
        valued team everyone sirs cher chère chers chères πελάτης
        πελάτισσα κύριος κυρία κύριε folks guys there again world both
        damen herren herr frau fräulein kunde kundin kunden kundenservice kundendienst zusammen leute mein meine meinen
        meiner ihr ihre ihren zahlung zahlungen rechnung rechnungen bestellung bestellungen lieferung lieferungen konto
        anker artikel paket pakete rückerstattung erstattung passwort adresse fehler hilfe frage fragen problem probleme
        danke bitte hallo guten tag morgen montag dienstag mittwoch donnerstag freitag samstag sonntag januar februar
        märz mai juni juli oktober dezember karte betrag preis versand gutschein rabatt vertrag kündigung
        bonjour monsieur madame messieurs mesdames merci commande commandes paiement facture livraison remboursement
        compte colis client clients cliente clientes service équipe lundi mardi mercredi jeudi vendredi samedi dimanche
        hola señores señor señora gracias pedido pedidos pago factura envío reembolso cuenta paquete equipo todos lunes
        martes miércoles jueves viernes sábado domingo ciao grazie ordine ordini pagamento fattura spedizione rimborso
        pacco tutti signori lunedì martedì olá obrigado obrigada encomenda fatura conta pacote bestelling betaling
        factuur levering terugbetaling rekening pakket merhaba sipariş siparişim ödeme fatura kargo iade hesap
        teşekkürler lütfen здравствуйте привет спасибо заказ платёж платеж оплата возврат счёт счет доставка посылка
        коллеги всем клиент клиенты
        kartennummer prüfziffer passport iccid imei mille giornata ajuda llámeme llame prüfnummer geburtsdatum
    """)
)
"""Lower-case words of support talk that a small language model labels as names when they are capitalised."""

WORDS_AFTER_NAME: Final = frozenset(
    _words("""
        und et y e ed en ve och og ja i a ich je yo io eu ik ben jag jeg mais pero ma mas maar ama men och aber mit ve
        и і та а но że oraz και و ו और है हूँ یا است
        and i i'm i've my the but on in is it not so with for from at of that calling speaking here please spelled
        spelt misspelled wrong incorrect also there this we to was are still a an has have can
    """)
)
"""Words that continue a sentence after ``my name is …``."""

GIVEN_NAMES: Final = frozenset(
    _words("""
        aaron abel abraham ada adam aditya adrian albert alcides ale alexander alfred ali aline allen alonso
        amber amelia amir ana andrew angel angelica angelique anna anne anthony antonius antony april ariana
        arnold arthur aryan augusta aura aurora austin autumn bailey balthasar baptist bart beatrice beau ben
        benjamin berit bernard beth bill billy blake bob bobby bonnie brad bradley brady brandy brent bridget
        brit britt brittany brooke bruce brunhild bruno bryan calvin candela carina carlos carol carolina
        caroline casper cassandra cassie catherine chad charles charlotte chase christian christie christopher
        clarence claudius clemens clinton clive cody cole colette colleen conrad constance cora crystal curt
        curtis cynthia daisy dakota dale dalton damon dana daniel dante daphne david dawn dean derrick destiny
        devon diana dieter dietrich dirk dominic dominique don donatello donna doris douglas drew duncan dylan
        earl eckhart edda edgar edward edwin egbert elijah elisa elizabeth elli emilia emir emmy erica erin
        ernst ester esther eugene eugenia fabian fabiana faith fanny fatima fay felicia ferdinand finn flora
        florence florentine franck franco frank franklin frederick freya gabor gabriel gary gaspar gemma gene
        george georgia gilbert glen glenn grace graham grant greco gregory guy haley harrison harry hazel
        heather hector heinz helen helena henry herbert hermann holly horst hortensia howard hugo hunter
        ibrahim ida inga inge ira irena iris isaac isabella isaiah isolde ivy iwo jack jackson jacob jade
        james jan jasmine jason jasper jay jean jenny jeremiah jerome jerry jesus jimmy joachim joel john
        johnny jonathan jordan joseph josh joshua joy joyce judith julian june karen kelly kent kimberley kirk
        knut krishna kylie laban lakshmi lambert lance laurens lawrence lea leander lee leigh lena leo leon
        leonard leonardo leone levi lewis liana lily lindsay liv liza logan lolita lorenz lorraine lotte louis
        lucas luce lucky lucy luke luna lydia mackenzie madison maja malik mara marc marcel marciano margarita
        marguerite maria marian marina marino mark mart martin mary mason mathias matthew max maxwell maya
        melissa melody meredith michael michelangelo mike milo mina misty mitchell mohammad mohammed molly
        mona morgan morris nancy naomi neel nicholas nick nina noah norma norman oliver olivier oni orlando
        oscar oswald owen paige parker pascal patrick patty paul pauline penny perry peter philip philippine
        pierre pilar quincy rachel ramona randy raphael raven ray rebecca rebekah regina rembrandt reyes
        ricardo rick rico riley robert robin rolf romeo ron rosa rose rosemary rosita ross rowan rupert
        russell ruth sabine sally salvador sam sami samuel sander sandy santiago santos sarah savannah scott
        selma serge seth shannon shari shawn shelley sherry sian siegfried sienna sierra sigurd silva silvia
        simon sofia sol soledad spencer stanley stella stephen stewart stuart sue summer susanna sydney tammy
        tara taylor terence teresa terry thea theresa thomas tiffany timothy tito toby todd tom tracy tristan
        troy tyler valentine vanessa veronica victor victoria viola virginia vitus wally walter warren wayne
        wesley whitney wyatt xavier
    """)
)
"""Given names that dictionaries list as words too: ``Mark Green`` is a person."""

NO_VALUES: Final = frozenset(
    _words("""
        valid thru expiry expires number cvv cvc
        n/a na none null nil required optional empty field is are was unknown missing invalid enter type your
        the same as submit save continue cancel edit next clear reset tbd undefined not must cannot should
        please see check does do did and or mismatch mismatched incorrect wrong changed updated verified
        anonymous guest pflichtfeld obligatoire obligatorio requis placeholder here it this that a an if when
        for on in too with without
    """)
)
"""Words after a label that are no value: remarks on a form, buttons."""

CITIES: Final = frozenset(
    _words("""
        adelaide africa alabama alaska alberta alexandria alhambra america amsterdam andorra ankara antwerp argentina
        arizona asia athens auckland augusta austin australia austria bahrain baltimore bangkok barcelona beijing
        belgium berlin birmingham bogota bolivia boston boulder brasilia brazil bremen bristol britain brooklyn brussels
        budapest buffalo cairo cali cambridge canada carolina casablanca charleston chelsea cheyenne chicago
        chile china cleveland cologne colombia colorado columbia columbus cordoba cork costa cuba cyprus dakar dakota
        dallas delhi denmark denver derby detroit devon dresden dubai dublin durham ecuador egypt england essex
        ethiopia europe florence florida france frankfurt geneva genoa georgia germany ghana glasgow granada
        greece greenwich grenada guadalupe guatemala hamburg hamilton hannover hanover harlem havana hawaii helsinki
        holland houston hungary hyderabad iceland idaho illinois india indiana indonesia iowa iran iraq ireland israel
        istanbul italia italy jackson jamaica japan jersey jerusalem jordan kansas kent kentucky kenya kerala kiel
        kingston korea kuwait kyoto lagos lahore lancaster laos lebanon leeds leipzig lima lincoln lisbon london
        lorraine louisiana lourdes lyon madison madrid malaga malawi malaysia mali malta manchester manila marseille
        maryland massachusetts medina melbourne memphis mexico miami michigan milan milano minnesota mississippi
        missouri mobile moldova monaco mongolia montana montreal morocco moscow mumbai munich nairobi naples nashville
        nebraska nepal nevada newcastle niger nigeria norfolk normandy norway odessa ohio oklahoma oman ontario oregon
        orlando orleans osaka oslo oxford pakistan palermo palestine panama paraguay paris peking peru philadelphia
        philippines phoenix poland portland porto portsmouth portugal prague preston qatar quebec queens raleigh
        ravenna reading rhodes richmond rio riyadh roma romania rome rotterdam russia rwanda salem salvador salzburg
        santiago savannah saxony scotland seattle senegal seoul serbia seville shanghai siena sierra singapore
        slovakia slovenia sofia somalia spain stockholm stuttgart sudan sussex sweden switzerland sydney syria taipei
        taiwan tampa tehran tennessee texas thailand tokyo toledo toronto troy tunis tunisia turin turkey ukraine
        uruguay utah valencia valletta vancouver venezuela venice vermont verona victoria vienna vietnam virginia wales
        warsaw washington wellington winchester windsor winnipeg wyoming yemen york yorkshire zambia zurich
    """)
)
"""Cities and countries whose names are given or family names too: ``Paris`` alone is none."""

BRANDS: Final = frozenset(
    _words("""
        adidas adobe airbnb alexa aldi anker apollo asus atlas aurora avon bosch braun casper cortana dell delta dior
        disney dyson ebay echo electra ferrari fiat ford fender gibson gillette gucci hermes hilton honda
        huawei hulu ikea intel jaguar jenkins jira kia kindle lego lenovo lexus lidl linus loki lyft macy
        mango maven max mercedes mercury mini montblanc netflix nikon nike nintendo nokia nova nvidia opera oracle orion
        panasonic perl philips pixel polo porsche prada puma renault roku ruby samsung sega sephora siemens
        siri skoda slack sony spotify steam suzuki target tesla titan toyota trello uber venus visa volvo walmart
        xiaomi yahoo zalando zara zoom
    """)
)
"""Brands and products whose names are given or family names too."""

BRANDS_NAMED_AFTER_PERSONS: Final = frozenset(
    (
        *("calvin klein", "tommy hilfiger", "ralph lauren", "hugo boss", "michael kors", "marc jacobs", "kate spade"),
        *("christian dior", "louis vuitton", "giorgio armani", "emporio armani", "yves saint laurent", "yves rocher"),
        *("christian louboutin", "jimmy choo", "stella mccartney", "vivienne westwood", "alexander mcqueen"),
        *("tory burch", "ted baker", "ben sherman", "fred perry", "jack wolfskin", "helly hansen", "karl lagerfeld"),
        *("jil sander", "wolfgang joop", "philipp plein", "pierre cardin", "roberto cavalli", "salvatore ferragamo"),
        *("dr martens", "dr. martens", "elizabeth arden", "estee lauder", "helena rubinstein", "bobbi brown"),
        *("mary kay", "jo malone", "johnnie walker", "jack daniel", "jack daniels", "jim beam", "dom perignon"),
        *("harley davidson", "harley-davidson", "aston martin", "alfa romeo", "rolls royce", "rolls-royce"),
        *("mercedes benz", "mercedes-benz", "daniel wellington", "patek philippe", "audemars piguet", "frank muller"),
        *("victoria's secret", "victoria beckham beauty", "laura ashley", "eddie bauer", "levi strauss", "wells fargo"),
        *("merrill lynch", "ernst young", "fisher price", "hamilton beach", "kenneth cole", "donna karan"),
    )
)
"""Brands that read as a person's full name. Labels and phrases that introduce a person still win."""

UNITS: Final = _words("zero one two three four five six seven eight nine")
TEENS: Final = _words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
TENS: Final = _words("twenty thirty forty fifty sixty seventy eighty ninety")
HESITATIONS: Final = frozenset(_words("um uh er erm ah hmm"))
FILLERS: Final = HESITATIONS | frozenset(_words("and then dash hyphen space to too for comma"))
"""Words that may stand between two digits of one number, when one of the digits was spoken as a word."""
