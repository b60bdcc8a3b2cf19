"""Google's own messages. Their import takes a second, so a fixture imports this module in the tests that need it."""

from google.ads.googleads.v26.errors.types.errors import GoogleAdsFailure
from google.ads.googleads.v26.services.types.campaign_service import MutateCampaignsRequest, MutateCampaignsResponse
from google.ads.googleads.v26.services.types.google_ads_service import (
    GoogleAdsRow,
    SearchGoogleAdsStreamRequest,
    SearchGoogleAdsStreamResponse,
)

__all__ = [
    "GoogleAdsFailure",
    "GoogleAdsRow",
    "MutateCampaignsRequest",
    "MutateCampaignsResponse",
    "SearchGoogleAdsStreamRequest",
    "SearchGoogleAdsStreamResponse",
]
