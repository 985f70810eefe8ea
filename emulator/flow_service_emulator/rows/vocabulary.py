"""The words that made-up rows are built from: people, places, products, devices, pages.

Nothing here belongs to a real person: e-mail addresses end in the reserved domains of RFC 2606, telephone numbers are
the fictitious 555-01xx ones, and IP addresses come from the ranges for documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

from typing import Final

FEMALE_NAMES: Final = (
    "Ana", "Mariana", "Beatriz", "Camila", "Júlia", "Larissa", "Sofia", "Helena", "Olivia", "Emma", "Charlotte",
    "Amelia", "Grace", "Hannah", "Chloé", "Léa", "Manon", "Inès", "Anna", "Lena", "Mia", "Johanna", "Giulia", "Chiara",
    "Martina", "Lucía", "Carmen", "Paula", "Ingrid", "Astrid", "Freja", "Elin", "Zofia", "Kasia", "Eszter", "Ioana",
    "Elif", "Zeynep", "Priya", "Ananya", "Meera", "Mei", "Yuki", "Sakura", "Hana", "Minji", "Aisha", "Fatima", "Amara",
    "Zanele", "Thandiwe", "Ngozi",
)  # fmt: skip
MALE_NAMES: Final = (
    "João", "Pedro", "Lucas", "Gabriel", "Rafael", "Tiago", "Bruno", "Mateus", "Liam", "Noah", "Ethan", "James",
    "Henry", "Oscar", "Louis", "Hugo", "Théo", "Antoine", "Lukas", "Felix", "Jonas", "Jürgen", "Marco", "Luca",
    "Matteo", "Diego", "Javier", "Álvaro", "Lars", "Erik", "Mads", "Nils", "Jakub", "Piotr", "László", "Andrei",
    "Emre", "Mehmet", "Arjun", "Rohan", "Vikram", "Wei", "Kenji", "Haruto", "Takumi", "Jisoo", "Omar", "Yusuf",
    "Kwame", "Sipho", "Chidi", "Tendai",
)  # fmt: skip
LAST_NAMES: Final = (
    "Silva", "Santos", "Oliveira", "Souza", "Pereira", "Costa", "Almeida", "Ribeiro", "Carvalho", "Araújo", "Smith",
    "Johnson", "Williams", "Brown", "Taylor", "Wilson", "Anderson", "Clark", "Murphy", "Campbell", "Martin", "Bernard",
    "Dubois", "Lefèvre", "Moreau", "Müller", "Schmidt", "Schneider", "Weber", "Wagner", "Rossi", "Russo", "Bianchi",
    "Romano", "García", "Fernández", "López", "Martínez", "Navarro", "Jansen", "Andersson", "Lindqvist", "Hansen",
    "Nielsen", "Kowalski", "Nowak", "Nagy", "Popescu", "Yılmaz", "Demir", "Sharma", "Patel", "Iyer", "Gupta", "Chen",
    "Wang", "Li", "Tanaka", "Suzuki", "Satō", "Kim", "Park", "Hassan", "Khan", "Mensah", "Nkosi", "Dlamini", "Okafor",
    "Moyo", "Nguyen",
)  # fmt: skip
EMAIL_DOMAINS: Final = ("example.com", "example.org", "example.net")

PLACE_FIELDS: Final = (
    "city", "countryCode", "country", "state", "postalCode", "latitude", "longitude", "timeZone", "currency",
    "language",
)  # fmt: skip
PLACES: Final = (
    ("São Paulo", "BR", "Brazil", "SP", "01310-100", -23.5614, -46.6559, "America/Sao_Paulo", "BRL", "pt-BR"),
    ("Rio de Janeiro", "BR", "Brazil", "RJ", "20040-020", -22.9035, -43.1791, "America/Sao_Paulo", "BRL", "pt-BR"),
    ("Recife", "BR", "Brazil", "PE", "50030-230", -8.0631, -34.8711, "America/Recife", "BRL", "pt-BR"),
    ("New York", "US", "United States", "NY", "10001", 40.7506, -73.9972, "America/New_York", "USD", "en-US"),
    ("San Francisco", "US", "United States", "CA", "94103", 37.7726, -122.4099, "America/Los_Angeles", "USD", "en-US"),
    ("Chicago", "US", "United States", "IL", "60601", 41.8858, -87.6181, "America/Chicago", "USD", "en-US"),
    ("Austin", "US", "United States", "TX", "78701", 30.2711, -97.7437, "America/Chicago", "USD", "en-US"),
    ("Seattle", "US", "United States", "WA", "98101", 47.6101, -122.3344, "America/Los_Angeles", "USD", "en-US"),
    ("Toronto", "CA", "Canada", "ON", "M5H 2N2", 43.6511, -79.3839, "America/Toronto", "CAD", "en-CA"),
    ("Montréal", "CA", "Canada", "QC", "H2Y 1C6", 45.5059, -73.5564, "America/Toronto", "CAD", "fr-CA"),
    ("Ciudad de México", "MX", "Mexico", "CMX", "06000", 19.4326, -99.1332, "America/Mexico_City", "MXN", "es-MX"),
    ("Buenos Aires", "AR", "Argentina", "C", "C1002", -34.6037, -58.3816, "America/Buenos_Aires", "ARS", "es-AR"),
    ("Bogotá", "CO", "Colombia", "DC", "110311", 4.6097, -74.0817, "America/Bogota", "COP", "es-CO"),
    ("Lisboa", "PT", "Portugal", "11", "1100-148", 38.7077, -9.1366, "Europe/Lisbon", "EUR", "pt-PT"),
    ("Madrid", "ES", "Spain", "MD", "28013", 40.4189, -3.7038, "Europe/Madrid", "EUR", "es-ES"),
    ("London", "GB", "United Kingdom", "LND", "SW1A 2AA", 51.5034, -0.1276, "Europe/London", "GBP", "en-GB"),
    ("Manchester", "GB", "United Kingdom", "MAN", "M1 1AE", 53.4774, -2.2309, "Europe/London", "GBP", "en-GB"),
    ("Dublin", "IE", "Ireland", "D", "D02 X285", 53.3438, -6.2546, "Europe/Dublin", "EUR", "en-IE"),
    ("Paris", "FR", "France", "75", "75001", 48.8606, 2.3376, "Europe/Paris", "EUR", "fr-FR"),
    ("Lyon", "FR", "France", "69", "69002", 45.7578, 4.832, "Europe/Paris", "EUR", "fr-FR"),
    ("Berlin", "DE", "Germany", "BE", "10115", 52.5323, 13.3846, "Europe/Berlin", "EUR", "de-DE"),
    ("München", "DE", "Germany", "BY", "80331", 48.1374, 11.5755, "Europe/Berlin", "EUR", "de-DE"),
    ("Amsterdam", "NL", "Netherlands", "NH", "1012", 52.3728, 4.8936, "Europe/Amsterdam", "EUR", "nl-NL"),
    ("Zürich", "CH", "Switzerland", "ZH", "8001", 47.3717, 8.5423, "Europe/Zurich", "CHF", "de-CH"),
    ("Milano", "IT", "Italy", "MI", "20121", 45.472, 9.192, "Europe/Rome", "EUR", "it-IT"),
    ("Stockholm", "SE", "Sweden", "AB", "111 20", 59.3326, 18.0649, "Europe/Stockholm", "SEK", "sv-SE"),
    ("København", "DK", "Denmark", "84", "1050", 55.6805, 12.5856, "Europe/Copenhagen", "DKK", "da-DK"),
    ("Warszawa", "PL", "Poland", "MZ", "00-001", 52.2298, 21.0118, "Europe/Warsaw", "PLN", "pl-PL"),
    ("İstanbul", "TR", "Türkiye", "34", "34110", 41.0166, 28.9703, "Europe/Istanbul", "TRY", "tr-TR"),
    ("Dubai", "AE", "United Arab Emirates", "DU", "00000", 25.2048, 55.2708, "Asia/Dubai", "AED", "ar-AE"),
    ("Mumbai", "IN", "India", "MH", "400001", 18.9388, 72.8353, "Asia/Kolkata", "INR", "en-IN"),
    ("Bengaluru", "IN", "India", "KA", "560001", 12.9763, 77.6033, "Asia/Kolkata", "INR", "en-IN"),
    ("Singapore", "SG", "Singapore", "01", "048581", 1.284, 103.851, "Asia/Singapore", "SGD", "en-SG"),
    ("東京", "JP", "Japan", "13", "100-0001", 35.6852, 139.7528, "Asia/Tokyo", "JPY", "ja-JP"),
    ("서울", "KR", "South Korea", "11", "04524", 37.5663, 126.9779, "Asia/Seoul", "KRW", "ko-KR"),
    ("Sydney", "AU", "Australia", "NSW", "2000", -33.8688, 151.2093, "Australia/Sydney", "AUD", "en-AU"),
    ("Auckland", "NZ", "New Zealand", "AUK", "1010", -36.8485, 174.7633, "Pacific/Auckland", "NZD", "en-NZ"),
    ("Cape Town", "ZA", "South Africa", "WC", "8001", -33.9249, 18.4241, "Africa/Johannesburg", "ZAR", "en-ZA"),
    ("Lagos", "NG", "Nigeria", "LA", "101001", 6.4541, 3.3947, "Africa/Lagos", "NGN", "en-NG"),
    ("Accra", "GH", "Ghana", "AA", "00233", 5.556, -0.1969, "Africa/Accra", "GHS", "en-GH"),
)  # fmt: skip

PRODUCT_STYLES: Final = ("Classic", "Trail", "Urban", "Nordic", "Coastal", "Studio", "Everyday", "Summit")
PRODUCT_BRANDS: Final = ("Luma", "Norte", "Halden", "Aurelia", "Kestrel", "Verdant")
PRODUCT_KINDS: Final = (  # name, category, cents at which the plainest one sells
    ("T-Shirt", "Apparel > Tops", 1900), ("Hoodie", "Apparel > Tops", 5400),
    ("Rain Jacket", "Apparel > Outerwear", 12900), ("Running Shorts", "Apparel > Bottoms", 3200),
    ("Leggings", "Apparel > Bottoms", 4500), ("Socks", "Apparel > Basics", 900),
    ("Sneakers", "Footwear > Shoes", 8900), ("Hiking Boots", "Footwear > Boots", 14900),
    ("Sandals", "Footwear > Shoes", 3900), ("Backpack", "Gear > Bags", 7900), ("Duffel Bag", "Gear > Bags", 6400),
    ("Water Bottle", "Gear > Hydration", 2100), ("Yoga Mat", "Gear > Fitness", 3600),
    ("Kettlebell", "Gear > Fitness", 4900), ("Sunglasses", "Accessories > Eyewear", 9900),
    ("Cap", "Accessories > Headwear", 2400), ("Fitness Watch", "Electronics > Wearables", 19900),
    ("Wireless Earbuds", "Electronics > Audio", 12900), ("Desk Lamp", "Home > Lighting", 5900),
    ("Throw Blanket", "Home > Textiles", 4400),
)  # fmt: skip

DEVICE_FIELDS: Final = (
    "manufacturer", "model", "deviceType", "operatingSystem", "osVersion", "browser", "screenWidth", "screenHeight",
)  # fmt: skip
DEVICES: Final = (
    ("Apple", "iPhone 15", "mobile", "iOS", "17.5.1", "Safari", 393, 852),
    ("Apple", "iPhone 13", "mobile", "iOS", "16.7.8", "Safari", 390, 844),
    ("Samsung", "Galaxy S24", "mobile", "Android", "14", "Chrome", 360, 780),
    ("Samsung", "Galaxy A54", "mobile", "Android", "13", "Samsung Internet", 360, 800),
    ("Xiaomi", "Redmi Note 12", "mobile", "Android", "13", "Chrome", 393, 873),
    ("Motorola", "moto g84", "mobile", "Android", "13", "Chrome", 412, 919),
    ("Google", "Pixel 8", "mobile", "Android", "14", "Chrome", 412, 915),
    ("Apple", "iPad Air", "tablet", "iPadOS", "17.4", "Safari", 820, 1180),
    ("Samsung", "Galaxy Tab S9", "tablet", "Android", "14", "Chrome", 800, 1280),
    ("Apple", "MacBook Air", "desktop", "macOS", "14.4", "Safari", 1440, 900),
    ("Apple", "MacBook Pro", "desktop", "macOS", "14.5", "Chrome", 1728, 1117),
    ("Dell", "XPS 13", "desktop", "Windows", "11", "Edge", 1920, 1200),
    ("Lenovo", "ThinkPad X1", "desktop", "Windows", "11", "Chrome", 1920, 1080),
    ("HP", "Pavilion 15", "desktop", "Windows", "10", "Firefox", 1536, 864),
    ("LG", "OLED C3", "television", "webOS", "23", "LG Browser", 3840, 2160),
    ("Roku", "Streaming Stick 4K", "television", "Roku OS", "13.0", "Roku", 3840, 2160),
)  # fmt: skip

PAGES: Final = (
    "Home", "Search", "Women", "Men", "New Arrivals", "Sale", "Product Details", "Cart", "Checkout",
    "Order Confirmation", "My Account", "Sign In", "Wish List", "Store Locator", "Help", "Returns", "Gift Cards",
    "Journal",
)  # fmt: skip
CAMPAIGNS: Final = (
    "Summer Sale", "Back to School", "Black Friday", "Welcome Series", "Win-Back", "New Arrivals Weekly",
    "Loyalty Double Points", "Abandoned Cart", "Holiday Gift Guide", "App Install", "Birthday Reward",
    "Free Shipping Weekend",
)  # fmt: skip
CHANNELS: Final = (
    "email", "organic-search", "direct", "paid-search", "social", "display", "push", "affiliate", "sms",
)  # fmt: skip
SEGMENTS: Final = (
    "High Value Customers", "Cart Abandoners", "Newsletter Subscribers", "Lapsed 90 Days", "Mobile App Users",
    "Bargain Hunters", "New Customers", "Gold Tier", "Frequent Returners", "Outdoor Enthusiasts",
    "Lookalike: Top Spenders", "Do Not Contact",
)  # fmt: skip
INTERESTS: Final = (
    "running", "hiking", "yoga", "cycling", "travel", "cooking", "photography", "music", "gaming", "gardening",
    "swimming", "camping", "fashion", "home decor", "football", "reading",
)  # fmt: skip
COLORS: Final = ("Black", "White", "Navy", "Forest Green", "Crimson", "Sand", "Slate Grey", "Mustard", "Teal")
SIZES: Final = ("M", "L", "S", "XL", "XS", "XXL")
COMPANIES: Final = (
    "Luma Retail", "Norte Logística", "Halden AB", "Aurelia S.r.l.", "Kestrel Ltd", "Verdant Foods", "Orbis Media",
)  # fmt: skip
JOB_TITLES: Final = (
    "Analyst", "Teacher", "Software Engineer", "Nurse", "Designer", "Sales Manager", "Architect", "Student", "Chef",
)  # fmt: skip
STREETS: Final = (
    "Maple Avenue", "Oak Street", "Rua das Flores", "Avenida Central", "High Street", "Station Road", "Rue de la Paix",
    "Lindenstraße", "Via Roma", "Calle Mayor", "Park Lane", "Mill Road", "Harbour View", "Kings Road", "Elm Court",
)  # fmt: skip
SENTENCES: Final = (
    "Thank you for your order.", "Delivered to the front desk.", "Customer asked for an invoice.",
    "Returned because of the size.", "Paid with a gift card.", "Wants to be called in the afternoon.",
    "Found through a friend.", "Prefers contact by e-mail.", "Light, warm and made to last.",
    "Recycled materials, two-year guarantee.", "Our bestseller of the season.", "Packs small and dries fast.",
)  # fmt: skip
AREA_CODES: Final = (
    "202", "206", "212", "213", "214", "303", "305", "312", "313", "404", "408", "415", "416", "503", "512", "514",
    "602", "604", "612", "615", "617", "619", "646", "702", "713", "718", "773", "786", "808", "816", "818", "904",
    "917", "949", "972", "980",
)  # fmt: skip
WORDS: Final = (
    "amber", "anchor", "birch", "breeze", "canyon", "cedar", "cobalt", "copper", "delta", "ember", "fable", "falcon",
    "garnet", "harbor", "indigo", "juniper", "lagoon", "lantern", "maple", "meadow", "nimbus", "ocean", "orchid",
    "pebble", "prairie", "quartz", "raven", "saffron", "tundra", "velvet", "willow", "zephyr",
)  # fmt: skip
