<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to the mails that Global Relay takes: one for each room and interval, the conversation as HTML.
  The result is a packaging document (docs/packaging.md). README.md says what is carried.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:p="urn:chancery:package:1"
                exclude-result-prefixes="c">

  <xsl:import href="mail.xsl"/>
  <xsl:output method="xml" encoding="UTF-8" indent="no" media-type="application/vnd.chancery.package+xml"/>

  <!-- The kind of source, as agreed with the archive. -->
  <xsl:param name="msg_type" select="'Chancery'"/>
  <!-- What goes before the room's name in the subject. -->
  <xsl:param name="subject" select="'Chat Compliance Export: '"/>
  <!-- The archive takes mails of 250 MiB; what is embedded grows by a third. A larger file stays beside the mail. -->
  <xsl:param name="attachment_max" select="'157286400'"/>

  <xsl:template match="/">
    <xsl:call-template name="check-mail-parameters"/>
    <p:package>
      <xsl:for-each select="Conversations/Conversation">
        <xsl:text>&#10;</xsl:text>
        <p:file extension="eml"><xsl:apply-templates select="." mode="mail"/></p:file>
      </xsl:for-each>
    </p:package>
  </xsl:template>

  <xsl:template match="Conversation" mode="mail">
    <xsl:variable name="title">
      <xsl:value-of select="$subject"/>
      <xsl:apply-templates select="Channel" mode="name"/>
      <xsl:if test="@c:parts &gt; 1"><xsl:value-of select="concat(' (part ', @c:part, ' of ', @c:parts, ')')"/></xsl:if>
    </xsl:variable>
    <xsl:variable name="key"><xsl:apply-templates select="." mode="key"/></xsl:variable>
    <p:mail domain="{$domain}">
      <p:addresses name="From"><xsl:apply-templates select="." mode="initiator"/></p:addresses>
      <p:addresses name="To"><xsl:apply-templates select="." mode="everybody"/></p:addresses>
      <p:header name="Subject"><xsl:value-of select="$title"/></p:header>
      <p:date name="Date" at="{EndTimeUTC/@string}"/>
      <p:ids name="Message-ID"><p:id key="{$key}"/></p:ids>
      <p:header name="X-GlobalRelay-MsgType"><xsl:value-of select="$msg_type"/></p:header>
      <p:header name="X-Chancery-ChannelName"><xsl:apply-templates select="Channel" mode="name"/></p:header>
      <p:header name="X-Chancery-ChannelID"><xsl:value-of select="Channel/@uri"/></p:header>
      <p:header name="X-Chancery-ChannelType"><xsl:value-of select="Channel/@c:kind"/></p:header>
      <p:header name="Auto-Submitted">auto-generated</p:header>
      <p:header name="Precedence">bulk</p:header>
      <xsl:apply-templates select="." mode="body"><xsl:with-param name="title" select="$title"/></xsl:apply-templates>
    </p:mail>
  </xsl:template>
</xsl:stylesheet>
