from django.urls import path

from accounts.views.audit import domain_activity
from accounts.views.exports import mailboxes_export
from accounts.views.mailboxes import mailbox_new
from accounts.views.roles import domain_roles
from domains import views
from domains.views import dns
from mailpanel.server.views.filter import domain_filter
from mailpanel.server.views.trace import domain_messages, domain_traffic

app_name = "domains"
urlpatterns = [
    path("domains/", views.domains, name="domains"),
    path("domains/new/", views.domain_new, name="domain_new"),
    path("domains/<str:name>/", views.domain, name="domain"),
    path("domains/<str:name>/settings/", views.domain_edit, name="domain_edit"),
    path("domains/<str:name>/delete/", views.domain_delete, name="domain_delete"),
    path("domains/<str:name>/mailboxes/export/", mailboxes_export, name="mailboxes_export"),
    path("domains/<str:name>/mailboxes/new/", mailbox_new, name="mailbox_new"),
    path("domains/<str:name>/aliases/", views.domain_aliases, name="domain_aliases"),
    path("domains/<str:name>/aliases/new/", views.alias_new, name="alias_new"),
    path("domains/<str:name>/activity/", domain_activity, name="domain_activity"),
    path("domains/<str:name>/filter/", domain_filter, name="domain_filter"),
    path("domains/<str:name>/messages/", domain_messages, name="domain_messages"),
    path("domains/<str:name>/traffic/", domain_traffic, name="domain_traffic"),
    path("domains/<str:name>/roles/", domain_roles, name="domain_roles"),
    path("domains/<str:name>/dns/", dns.dns, name="dns"),
    path("domains/<str:name>/dns/keys/new/", dns.key_new, name="key_new"),
    path("domains/<str:name>/dns/keys/<str:selector>/sign/", dns.key_sign, name="key_sign"),
    path("domains/<str:name>/dns/keys/<str:selector>/retire/", dns.key_retire, name="key_retire"),
    path("domains/<str:name>/dns/keys/<str:selector>/delete/", dns.key_delete, name="key_delete"),
    path("aliases/", views.aliases, name="aliases"),
    path("aliases/<str:source>/", views.alias, name="alias"),
    path("aliases/<str:source>/delete/", views.alias_delete, name="alias_delete"),
]
